"""Metric AT: metric adversarial training with FNA on clean and adversarial images."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from benchbox.models.reid import Features, ReidModel
from benchbox.training.recipe import Batch
from defenses.adversarial import AdversarialRecipe
from defenses.base import Defense


@dataclass(frozen=True, kw_only=True)
class MetricAT(AdversarialRecipe):
    """Train on both: min_θ E [ℓ(x, y) + ℓ(x̂, y)], ℓ = L_cls + L_tri, x̂ = FNA(x).

    The baseline that DDD's ablation starts from (Zhou et al. 2025, Table 3 and, with none of its
    modules, Eq. 10). It differs from Adv_train, which trains on x̂ alone. Clean and adversarial
    images go through the network in one batch, so that batch norm keeps one set of statistics
    for both, as it has to at test time; the triplets stay among their own kind, as Eq. 10 has it.
    """

    name: ClassVar[str] = "metric_at"

    @property
    @override
    def step_cost(self) -> float:
        return super().step_cost + 1

    @override
    def losses(self, model: ReidModel, batch: Batch) -> dict[str, Tensor]:
        """Return L = ℓ(x, y) + ℓ(x̂, y)."""
        clean, robust = side_by_side(model, batch.images, self.attacked(model, batch))
        return self.pair(clean, batch.labels) | named("robust", self.pair(robust, batch.labels))


def side_by_side(model: ReidModel, clean: Tensor, robust: Tensor) -> tuple[Features, Features]:
    """Return the features of clean and adversarial images from one forward pass over both."""
    return halves(model.features(both(clean, robust)))


def both(clean: Tensor, robust: Tensor) -> Tensor:
    """Return clean and adversarial images as one batch, (2B, 3, H, W)."""
    return torch.cat([clean, robust])


def halves(features: Features) -> tuple[Features, Features]:
    """Return the features of the first and of the second half of a batch."""
    first, second = zip(*(part.chunk(2) for part in features), strict=True)
    return Features(*first), Features(*second)


def named(prefix: str, losses: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return losses under names with a prefix, as the log tells them apart."""
    return {f"{prefix}_{name}": loss for name, loss in losses.items()}


METRIC_AT = Defense(
    name="metric_at",
    title="Metric AT",
    recipe=MetricAT(),
    source="Zhou et al. 2025 (Tables 3 and 4), after Bouniot, Audigier and Loesch 2020",
)
