"""DDD: metric adversarial training with four modules, each of which can be switched off."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from attacks.fna import farthest_label
from attacks.in_training import frozen
from benchbox.models.reid import Features, ReidModel
from benchbox.training.losses import triplet_loss
from benchbox.training.preparation import Preparation
from benchbox.training.recipe import Batch
from benchbox.training.seeding import seeded
from benchbox.training.training_set import TrainingSet
from defenses.adversarial import AdversarialRecipe, both, halves, named
from defenses.base import Defense
from defenses.ddd.balancing import Balancing
from defenses.ddd.discriminator import Adversary, Discriminator
from defenses.ddd.self_meta import FeaturesOf, Losses, Meta, self_meta_losses, split_by_identity
from defenses.ddd.softening import Softening, smooth, soften

Module = Literal["diffusion", "adversarial", "meta", "fnes"]
ALL: tuple[Module, ...] = ("diffusion", "adversarial", "meta", "fnes")


@dataclass(frozen=True, kw_only=True)
class DualInvariantDefense(AdversarialRecipe):
    """Balanced data, softened metric attacks, a discriminator, and a step that looks ahead.

    With no module it is Metric AT: ℓ(x, y) + ℓ(x̂, y), ℓ = L_cls + L_tri, x̂ = FNA(x). The modules
    of Table 3 change it so:

    - ``diffusion`` trains on the balanced set (Eq. 1, 2);
    - ``fnes`` replaces (x̂, y) by (x_adv, y_adv) (Eq. 4, 5);
    - ``adversarial`` adds L_E to ℓ and trains the discriminator beside (Eq. 6–8);
    - ``meta`` splits the batch and adds the loss after an inner step (Eq. 9–13).

    Source: Zhou et al. 2025. Values the paper leaves to its supplement say so where they stand.

    Attributes:
        modules: names of the modules that are on.
        balancing: data balancing: δ1, δ2 and the diffusion model.
        fnes: how perturbations are stretched and labels softened: γ, a, b, λ1, λ2, v.
        adversary: the discriminator and the weight of L_E.
        meta: the step that looks ahead: α and the order of its gradient.
    """

    name: ClassVar[str] = "ddd"

    modules: tuple[Module, ...] = ALL
    balancing: Balancing = field(default_factory=Balancing)
    fnes: Softening = field(default_factory=Softening)
    adversary: Adversary = field(default_factory=Adversary)
    meta: Meta = field(default_factory=Meta)

    @property
    @override
    def title(self) -> str:
        return f"{self.name} ({', '.join(self.modules) or 'no module'})"

    @property
    @override
    def preparation(self) -> Preparation | None:
        return self.balancing if "diffusion" in self.modules else None

    @property
    @override
    def step_cost(self) -> float:
        return super().step_cost + (3 if "meta" in self.modules else 1)

    @override
    def companion(
        self, model: ReidModel, data: TrainingSet, *, seed: int, device: torch.device
    ) -> Discriminator | None:
        """Return the discriminator D, if that module is on."""
        if "adversarial" not in self.modules:
            return None
        generator = seeded(seed, "discriminator")
        dimensions = model.classifier.in_features
        return Discriminator(dimensions, self.adversary, generator=generator, device=device)

    @override
    def losses(self, model: ReidModel, batch: Batch) -> Losses:
        """Return the terms of ℓ(G, x, y) + ℓ(G, x_adv, y_adv), with ``meta`` those of Eq. 12."""
        robust, targets = self._adversarial(model, batch)

        def terms(features: FeaturesOf, rows: Tensor) -> Losses:
            images = both(batch.images[rows], robust[rows])
            return self._terms(features(images), batch.labels[rows], targets[rows], batch)

        def features(images: Tensor) -> Features:
            return self._teach(model.features(images), batch.companion)

        if "meta" not in self.modules:
            return terms(features, torch.arange(len(robust), device=robust.device))
        rows = split_by_identity(batch.labels, batch.generator)
        meta_train, meta_test = self_meta_losses(model, features, terms, rows, self.meta)
        return meta_train | named("meta_test", meta_test)

    def _adversarial(self, model: ReidModel, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return x_adv (B, 3, H, W) and y_adv (B, k): FNA (Eq. 3), with ``fnes`` then Eq. 4."""
        embed = frozen(model)
        with torch.no_grad():
            clean = embed(batch.images)
        attacked = self.attack(embed, batch.images, self.attack.guides(clean, batch.labels))
        classes = model.classifier.out_features
        if "fnes" in self.modules:
            return soften(
                batch.images,
                attacked,
                batch.labels,
                farthest_label(clean, batch.labels),
                classes=classes,
                by=self.fnes,
                generator=batch.generator,
            )
        rest = self.training.label_smoothing
        return attacked, smooth(batch.labels, 1 - rest + rest / classes, classes)

    def _terms(
        self,
        features: Features,
        labels: Tensor,
        targets: Tensor,
        batch: Batch,
    ) -> Losses:
        """Return L_cls, L_tri and L_E of features whose first half is clean (Eq. 10 and 11)."""
        clean, robust = halves(features)
        margin = self.training.triplet_margin
        losses = self.pair(clean, labels) | {
            "robust_identity": F.cross_entropy(robust.logits, targets),
            "robust_triplet": triplet_loss(robust.pooled, labels, margin=margin),
        }
        discriminator: Discriminator | None = batch.companion
        if discriminator is not None:
            confusion = discriminator.confusion(clean.pooled, robust.pooled)
            losses["confusion"] = self.adversary.weight_at(batch.done) * confusion
        return losses

    @override
    def metrics(self, batch: Batch) -> dict[str, float]:
        """Return L_D and D's accuracy over the epoch, if that module is on."""
        return {} if batch.companion is None else batch.companion.judged()

    def _teach(self, features: Features, discriminator: Discriminator | None) -> Features:
        """Let D take its step on the features the encoder has just made (Eq. 8 alternates)."""
        if discriminator is not None:
            clean, robust = halves(features)
            discriminator.learn(clean.pooled, robust.pooled)
        return features


DDD = Defense(
    name="ddd", title="DDD", recipe=DualInvariantDefense(), source='Zhou et al. 2025 ("Ours")'
)


def _with_one(name: str, title: str, module: Module) -> Defense:
    """Return a row of Table 3: Metric AT and one module."""
    recipe = DualInvariantDefense(modules=(module,))
    return Defense(name=name, title=title, recipe=recipe, source="Zhou et al. 2025, Table 3")


ABLATION = (
    _with_one("metric_at_diffusion", "+Diffusion model", "diffusion"),
    _with_one("metric_at_adversarial", "+Adversarial learning", "adversarial"),
    _with_one("metric_at_meta", "+Self-meta learning", "meta"),
    _with_one("metric_at_fnes", "+FNES", "fnes"),
)
