"""Worst-case training: the smoothed AP that boards attack by, inside the training step."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor, nn
from typing_extensions import override

from attacks import Labelled, SmoothAP
from attacks.briefing import Briefing
from attacks.in_training import frozen
from attacks.ranking import Ranking
from benchbox.errors import unknown_name
from benchbox.models.reid import ReidModel
from benchbox.training.recipe import Batch
from benchbox.training.training_set import TrainingSet
from defenses.adversarial import AdversarialRecipe
from defenses.base import Defense

Against = Literal["batch", "training_set"]


class Remembered(nn.Module):
    """The last clean embedding of each training image, as a gallery that is an epoch old at most.

    Attributes:
        features: (N, D).
        known: (N,) bool, whether the image was visited yet.
        labels: (N,).
    """

    features: Tensor
    known: Tensor
    labels: Tensor

    def __init__(self, labels: Tensor, width: int) -> None:
        super().__init__()
        self.register_buffer("features", torch.zeros(len(labels), width))
        self.register_buffer("known", torch.zeros(len(labels), dtype=torch.bool))
        self.register_buffer("labels", labels, persistent=False)


@dataclass(frozen=True, kw_only=True)
class WorstCaseTraining(AdversarialRecipe):
    """Train on what ranks worst: L_cls(x̂, y) + L_tri(x̂), x̂ = argmax 1 − AP_smooth(x̂).

    x̂ comes from Auto-PGD on the smoothed AP (`SmoothAP`, Brown et al. 2020, Croce and Hein 2020),
    the objective of `WorstCase`. Each image of the batch is a query; its gallery are the clean
    embeddings of the others, or those of the whole training set as they were last seen.

    Our own baseline, of no paper: budget and steps are those of our adversarial training, and the
    attack chooses its step sizes; ``step_size`` is not used. Its cost is stated in ``step_cost``:
    as many gradients as Adv_train with as many steps, and one forward pass more.

    Attributes:
        gallery: whom an image is ranked against: ``batch`` or ``training_set``.

    Raises:
        BenchboxError: a value is out of its range.
    """

    name: ClassVar[str] = "worst_case_training"

    gallery: Against = "batch"

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        if self.gallery not in get_args(Against):
            raise unknown_name("gallery", self.gallery, get_args(Against))

    @property
    @override
    def step_cost(self) -> float:
        return super().step_cost + 1 / 3

    @override
    def companion(
        self, model: ReidModel, data: TrainingSet, *, seed: int, device: torch.device
    ) -> Remembered | None:
        """Return the memory of clean embeddings, where the training set is the gallery."""
        if self.gallery == "batch":
            return None
        return Remembered(data.labels, model.classifier.in_features).to(device)

    @override
    def attacked(self, model: ReidModel, batch: Batch) -> Tensor:
        """Return x̂."""
        embed = frozen(model)
        with torch.no_grad():
            ranking = self.ranking(embed(batch.images), batch)
        attack = SmoothAP(eps=self.eps, steps=self.steps)
        (found,) = attack.search(
            embed,
            batch.images,
            Briefing(ranking=ranking, draws=1),
            eps=[self.eps],
            generator=batch.generator,
        )
        return found.images

    def ranking(self, clean: Tensor, batch: Batch) -> Ranking:
        """Return whom the batch is ranked against.

        Each image is said to have a camera of its own, so that itself alone does not count.

        Args:
            clean: (B, D) embeddings of the batch.
            batch: its images.
        """
        if self.gallery == "batch":
            own = torch.arange(len(clean), device=clean.device)
            return Ranking.among(Labelled(clean, batch.labels, own))
        memory: Any = batch.companion
        if batch.rows is None:
            raise TypeError("a gallery of the training set needs the batch's places in it")
        rows = batch.rows.to(clean.device)
        memory.features[rows], memory.known[rows] = clean, True
        (known,) = memory.known.nonzero(as_tuple=True)
        gallery = Labelled(memory.features[known], memory.labels[known], known)
        return Ranking.of(Labelled(clean, batch.labels, rows), gallery)

    @override
    def losses(self, model: ReidModel, batch: Batch) -> dict[str, Tensor]:
        """Return L = L_cls(x̂, y) + L_tri(x̂)."""
        return self.identity_and_triplet(model, self.attacked(model, batch), batch.labels)


WORST_CASE_TRAINING = Defense(
    name="worst_case_training",
    title="Worst-case training (ours)",
    recipe=WorstCaseTraining(),
    source="no paper: SmoothAP by Auto-PGD in the training step",
)
