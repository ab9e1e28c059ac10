"""What all adversarially trained defenses share: an attack inside the training step."""

from dataclasses import dataclass

import torch
from torch import Tensor
from typing_extensions import override

from attacks import FNA, AscentAttack
from attacks.in_training import attack_batch
from benchbox.errors import BenchboxError
from benchbox.models.reid import Features, ReidModel
from benchbox.training.recipe import Batch, Recipe
from benchbox.training.weight_perturbation import perturbed_losses


@dataclass(frozen=True, kw_only=True)
class AdversarialRecipe(Recipe):
    """A recipe that attacks each batch with FNA, the batch being its own set of guides.

    The paper trains with FNA (Zhou et al. 2025, "Basic Setup") and leaves budget and steps to a
    supplement that is not public. Ours are the usual ones of adversarial training: 7 steps of
    2/255 inside 8/255 (Madry et al. 2018, CIFAR-10), the smaller of the two measured budgets.

    Attributes:
        eps: the attack's budget: radius of the L∞ ball, in [0, 1].
        steps: how many gradient steps the attack takes.
        step_size: how far one step moves each pixel, in [0, 1].
        awp: γ of adversarial weight perturbation (Wu et al. 2020, who take 0.005): gradients are
            taken at the weights of that relative distance that do worst on x̂; 0 means none.

    Raises:
        BenchboxError: a value is out of its range.
    """

    eps: float = 8 / 255
    steps: int = 7
    step_size: float = 2 / 255
    awp: float = 0.0

    def __post_init__(self) -> None:
        self.attack  # noqa: B018 - refuses a bad value
        if self.awp < 0:
            raise BenchboxError(f"{self.name}: expected awp ≥ 0, got {self.awp!r}")

    @property
    @override
    def title(self) -> str:
        options = {"awp": self.awp, "ema": self.training.ema}
        shown = ", ".join(f"{name} {value:g}" for name, value in options.items() if value)
        return f"{self.name} ({shown})" if shown else self.name

    @property
    def attack(self) -> AscentAttack:
        """The attack inside the training step."""
        return FNA(eps=self.eps, steps=self.steps, step_size=self.step_size)

    @property
    @override
    def step_cost(self) -> float:
        # An attack step is a forward pass and the input's half of a backward pass.
        step = 1 + (1 + 2 * self.steps) / 3
        return 2 * step if self.awp else step

    @override
    def attacked(self, model: ReidModel, batch: Batch) -> Tensor:
        """Return x̂, the batch after FNA (Eq. 3)."""
        return attack_batch(
            self.attack, model, batch.images, batch.labels, generator=batch.generator
        )

    @override
    def step(self, model: ReidModel, batch: Batch) -> dict[str, Tensor]:
        """Return the losses, with ``awp`` those at perturbed weights.

        The perturbation raises L_cls(x̂, y) + L_tri(x̂), x̂ made at the weights as they are. The
        losses then make an x̂ of their own, at the perturbed weights, as the paper's Algorithm 1
        has it (its code attacks once). What a recipe draws comes after what the perturbation drew.
        """
        if not self.awp:
            return self.losses(model, batch)

        def worse() -> Tensor:
            pair = self.identity_and_triplet(model, self.attacked(model, batch), batch.labels)
            return torch.stack(list(pair.values())).sum()

        return perturbed_losses(model, worse, lambda: self.losses(model, batch), gamma=self.awp)


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
