"""FARE: without labels, attacked images are held where the undefended model had the clean ones."""

from copy import deepcopy
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from typing_extensions import override

from attacks.ascent import Gradient
from attacks.in_training import ascend_batch, frozen
from attacks.start import uniform_noise
from benchbox.errors import BenchboxError
from benchbox.models.reid import ReidModel
from benchbox.training.recipe import Batch
from benchbox.training.training_set import TrainingSet
from defenses.adversarial import AdversarialRecipe
from defenses.base import Defense


class Sign:
    """A direction that remembers: gₜ = μ · sign(gₜ₋₁) + sign(∇); of one ascent."""

    def __init__(self, gradient: Gradient, decay: float) -> None:
        self._gradient = gradient
        self._decay = decay
        self._before: Tensor | None = None

    def __call__(self, points: Tensor) -> Tensor:
        """Return gₜ at ``points``."""
        direction = self._gradient(points).sign()
        if self._before is not None:
            direction = direction + self._decay * self._before
        self._before = direction.sign()
        return direction


@dataclass(frozen=True, kw_only=True)
class Fare(AdversarialRecipe):
    """Hold embeddings still: L = ‖f(x') − f_orig(x)‖², x' = argmax of the same inside the ball.

    f_orig is the model that training starts from, frozen. No label is used, and nothing but
    ``model(images)``: so a model without a classifier can be hardened, too.

    Source: Schlarmann et al. 2024, "Robust CLIP", and their code: 4/255 (2/255 for the
    milder of their two models), 10 steps of 1/255 with momentum 0.9 from a random point of the
    ball. They train two epochs of ImageNet by AdamW with a rate of 1e-5; the grid's training
    holds here, and a rate well below that of the first training is wanted. Where we deviate: f
    is the embedding as it is ranked, of unit length where the model scales it (theirs is CLIP's
    before scaling), and batch norms, which CLIP has none of, are trained as in every other row.

    Attributes:
        momentum: μ of the attack.

    Raises:
        BenchboxError: a value is out of its range.
    """

    name: ClassVar[str] = "fare"

    start: Literal["backbone", "vanilla"] = "vanilla"
    eps: float = 4 / 255
    steps: int = 10
    step_size: float = 1 / 255
    momentum: float = 0.9

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        if self.awp:
            raise BenchboxError("fare: awp raises a loss of labels, and none is used here; leave 0")

    @override
    def companion(
        self, model: ReidModel, data: TrainingSet, *, seed: int, device: torch.device
    ) -> nn.Module:
        """Return f_orig."""
        return deepcopy(model).to(device).eval().requires_grad_(requires_grad=False)

    @override
    def attacked(self, model: ReidModel, batch: Batch) -> Tensor:
        """Return x'."""
        return self._moved(model, batch, self.held(batch))

    @override
    def losses(self, model: ReidModel, batch: Batch) -> dict[str, Tensor]:
        """Return ‖f(x') − f_orig(x)‖², a mean over images."""
        held = self.held(batch)
        found = model(self._moved(model, batch, held))
        return {"shift": (found - held).square().sum(1).mean()}

    @torch.no_grad()
    def held(self, batch: Batch) -> Tensor:
        """Return f_orig(x), (B, D)."""
        held: Tensor = batch.companion(batch.images)
        return held

    def _moved(self, model: nn.Module, batch: Batch, held: Tensor) -> Tensor:
        embed, images = frozen(model), batch.images

        def shift(points: Tensor) -> Tensor:
            return (embed(points) - held).square().sum()

        start = images + self.eps * uniform_noise(images, range(len(images)), batch.generator)
        return ascend_batch(
            shift,
            images,
            eps=self.eps,
            steps=self.steps,
            step_size=self.step_size,
            start=start,
            remembering=lambda gradient: Sign(gradient, self.momentum),
        )


FARE = Defense(name="fare", title="FARE", recipe=Fare(), source="Schlarmann et al. 2024")
