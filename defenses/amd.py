"""AMD: offline adversarial metric defense."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import torch
from safetensors.torch import load_file, save
from torch import Tensor
from typing_extensions import override

from attacks import MetricIFGSM
from attacks.in_training import attack_batch, frozen
from benchbox.data.images import to_unit
from benchbox.data.protocol import ImageRecord
from benchbox.files.atomic import write_bytes
from benchbox.models.reid import ReidModel
from benchbox.training.preparation import Ingredients, Preparation
from benchbox.training.recipe import Batch, Recipe
from benchbox.training.seeding import seeded
from benchbox.training.training_set import TrainingSet
from defenses.base import Defense


@dataclass(frozen=True, kw_only=True)
class Examples(Preparation):
    """Attack every training image once, on a vanilla model; stored with 8 bits a channel.

    The guides are those of the measured attack: the clean embeddings of the identity.

    Attributes:
        eps: the attack's budget: radius of the L∞ ball, in [0, 1]. Bai et al. attack with
            5/255.
        steps: how many steps MetricIFGSM takes. Bai et al. take min(eps + 4, 1.25 eps) in 255ths
            (Kurakin et al. 2017), 6 at 5/255.
        step_size: how far one step moves each pixel, in [0, 1].
    """

    title: ClassVar[str] = "adversarial examples of AMD"
    needs_vanilla: ClassVar[bool] = True

    eps: float = 5 / 255
    steps: int = 6
    step_size: float = 1 / 255

    @property
    @override
    def cost(self) -> float:
        return 2 * self.steps / 3

    @override
    def make(self, given: Ingredients, folder: Path) -> None:
        if given.vanilla is None:
            raise TypeError("AMD's examples are made on a vanilla model")
        attack = MetricIFGSM(eps=self.eps, steps=self.steps, step_size=self.step_size)
        embed = frozen(given.vanilla)
        images = given.data.images
        batches = torch.split(torch.arange(len(images)), given.batch_size)
        with torch.no_grad():
            embeddings = torch.cat(
                [embed(to_unit(images[rows].to(given.device))) for rows in batches]
            )
        guides = attack.guides(embeddings, given.data.labels.to(given.device))
        examples = torch.empty_like(images)
        for number, rows in enumerate(batches):
            adversarial = attack(
                embed,
                to_unit(images[rows].to(given.device)),
                guides[rows],
                generator=[seeded("examples", given.records[row].key) for row in rows.tolist()],
            )
            examples[rows] = self._eight_bits(adversarial, images[rows])
            given.progress((number + 1) / len(batches), attack.title)
        write_bytes(folder / "examples.safetensors", save({"examples": examples}))

    def _eight_bits(self, adversarial: Tensor, images: Tensor) -> Tensor:
        """Round to the nearest level, but never out of the ball around the images."""
        levels = (adversarial * 255).round().to("cpu", torch.int16)
        reach = math.floor(self.eps * 255 + 1e-6)
        center = images.to(torch.int16)
        return torch.clamp(levels, center - reach, center + reach).to(torch.uint8)

    @override
    def training_set(
        self, records: Sequence[ImageRecord], data: TrainingSet, folder: Path
    ) -> TrainingSet:
        examples = load_file(folder / "examples.safetensors")["examples"]
        return TrainingSet(data.images, data.labels, examples=examples)


@dataclass(frozen=True, kw_only=True)
class AdversarialMetricDefense(Recipe):
    """Train on clean images and on examples made beforehand: min_θ E ℓ(x ∪ x̂), ℓ = L_cls + L_tri.

    The metric-preserving network of Bai et al. 2020: an image and its adversarial example share
    identity and batch, so triplets reach from one kind to the other. The examples fool another
    model, the vanilla one, and never change: the paper's Table 2 finds next to no robustness
    against an attack on the defended model itself.

    Source: Bai, Li, Zhou, Li and Torr 2020. Their base losses differ (they have no BNNeck).

    Attributes:
        examples: how the adversarial examples are made.
    """

    name: ClassVar[str] = "amd"

    examples: Examples = field(default_factory=Examples)

    @property
    @override
    def preparation(self) -> Preparation:
        return self.examples

    @property
    @override
    def step_cost(self) -> float:
        return 2.0

    @override
    def attacked(self, model: ReidModel, batch: Batch) -> Tensor:
        """Return the batch attacked anew, on this model: what the log's robust numbers say."""
        made = self.examples
        attack = MetricIFGSM(eps=made.eps, steps=made.steps, step_size=made.step_size)
        return attack_batch(attack, model, batch.images, batch.labels, generator=batch.generator)

    @override
    def losses(self, model: ReidModel, batch: Batch) -> dict[str, Tensor]:
        """Return L = L_cls + L_tri over images and examples together."""
        if batch.examples is None:
            raise TypeError("AMD trains on a training set with examples")
        images = torch.cat([batch.images, batch.examples])
        return self.identity_and_triplet(model, images, batch.labels.repeat(2))


AMD = Defense(name="amd", title="AMD", recipe=AdversarialMetricDefense(), source="Bai et al. 2020")
