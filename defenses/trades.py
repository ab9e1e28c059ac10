"""TRADES on embeddings: accuracy on clean images, and attacked ones that stay where they were."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from attacks.in_training import ascend_batch, frozen
from benchbox.errors import BenchboxError
from benchbox.models.reid import ReidModel
from benchbox.training.recipe import Batch
from defenses.adversarial import AdversarialRecipe, both, halves
from defenses.base import Defense


@dataclass(frozen=True, kw_only=True)
class Trades(AdversarialRecipe):
    """Trade accuracy for stability: L = L_cls(x, y) + L_tri(x) + β · (1 − cos(f(x), f(x'))).

    x' = argmax (1 − cos(f(x), f(x'))) inside the ball, from x + 0.001 · N(0, 1), f(x) held fixed.
    TRADES has the divergence of class probabilities in the place of the cosine; retrieval throws
    the classifier away, so what must hold still is the embedding. The gradient of the loss flows
    through both f(x) and f(x').

    Source: Zhang et al. 2019, "Theoretically Principled Trade-off between Robustness and
    Accuracy", and their code for CIFAR-10: 0.031, 10 steps of 0.007, β 1 or 6.

    Attributes:
        beta: β = 1/λ, what stability counts.
    """

    name: ClassVar[str] = "trades"

    eps: float = 0.031
    steps: int = 10
    step_size: float = 0.007
    beta: float = 6.0

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        if self.beta < 0:
            raise BenchboxError(f"trades: expected beta ≥ 0, got {self.beta!r}")

    @property
    @override
    def title(self) -> str:
        return f"{super().title} (β {self.beta:g})"

    @property
    @override
    def step_cost(self) -> float:
        return super().step_cost + 1

    @override
    def attacked(self, model: ReidModel, batch: Batch) -> Tensor:
        """Return x'."""
        embed, images = frozen(model), batch.images
        with torch.no_grad():
            clean = embed(images)
        noise = torch.randn(images.shape, generator=batch.generator).to(images)

        def shift(points: Tensor) -> Tensor:
            return (1 - torch.cosine_similarity(embed(points), clean)).sum()

        return ascend_batch(
            shift,
            images,
            eps=self.eps,
            steps=self.steps,
            step_size=self.step_size,
            start=images + 0.001 * noise,
        )

    @override
    def losses(self, model: ReidModel, batch: Batch) -> dict[str, Tensor]:
        """Return L_cls(x, y), L_tri(x) and β (1 − cos)."""
        images = both(batch.images, self.attacked(model, batch))
        clean, moved = halves(model.features(images))
        shift = 1 - torch.cosine_similarity(clean.embedding, moved.embedding)
        return self.pair(clean, batch.labels) | {"stability": self.beta * shift.mean()}


TRADES = Defense(
    name="trades", title="TRADES (β 6)", recipe=Trades(), source="Zhang et al. 2019, on embeddings"
)
TRADES_1 = Defense(
    name="trades_1",
    title="TRADES (β 1)",
    recipe=Trades(beta=1.0),
    source="Zhang et al. 2019, on embeddings",
)
