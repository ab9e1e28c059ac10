"""FNA made to transfer to other models: with momentum (MI-) and with diverse inputs (DI-)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from attacks.ascent import Ball, Gradient, ascend
from attacks.ascent_attack import require_budget, unit_images
from attacks.fna import FNA
from attacks.gradient import ObjectiveGradient
from attacks.guides import Guides
from attacks.start import Generators, seeds_of
from benchbox.errors import BenchboxError
from benchbox.models.embed import Embed, evaluated


@dataclass(frozen=True, kw_only=True)
class TransferFNA(FNA):
    """FNA whose direction is a running one, and whose model sees the images a little changed.

    Attributes:
        decay: μ of MI-FGSM (Dong et al. 2018); 0 forgets at once.
        diversity: p of DI²-FGSM (Xie et al. 2019), the chance that an image is changed.
        least: the smallest share that a changed image is shrunk to; the rest is black.

    Raises:
        BenchboxError: a value is out of its range.
    """

    decay: float = 0.0
    diversity: float = 0.0
    least: float = 0.9

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        if self.decay < 0 or not 0 <= self.diversity <= 1 or not 0 < self.least <= 1:
            raise BenchboxError(
                f"{self.name}: expected decay ≥ 0, diversity in [0, 1] and least in (0, 1], got "
                f"decay {self.decay!r}, diversity {self.diversity!r}, least {self.least!r}"
            )

    @override
    def sweep(
        self,
        embed: Embed,
        images: Tensor,
        guides: Guides,
        *,
        eps: Sequence[float],
        generator: Generators | None = None,
    ) -> list[Tensor]:
        """Return adversarial versions at each budget; nothing is shared between budgets."""
        images = unit_images(images, aimed=len(guides))
        seeds = seeds_of(generator, len(images))
        results = []
        with evaluated(embed), torch.inference_mode(mode=False), torch.enable_grad():
            clean = images.detach().clone()
            # Tensors made here are ordinary ones even where the caller is in inference mode.
            guides = guides.to(clean.device)[torch.arange(len(clean), device=clean.device)]
            for budget in eps:
                require_budget(budget)
                seen = Diverse(embed, seeds, chance=self.diversity, least=self.least)
                gradient = ObjectiveGradient(seen, self.objective, guides)
                ball = Ball.around(clean, budget)
                reached = ascend(
                    clean,
                    Momentum(gradient, self.decay),
                    ball,
                    steps=self.steps,
                    step_size=self.step_size,
                )
                gradient.require_finite()
                results.append(ball.project(reached))
        return results


@dataclass(frozen=True, kw_only=True)
class MIFNA(TransferFNA):
    """FNA with the momentum of MI-FGSM: gₜ₊₁ = μ gₜ + ∇ / |∇|₁, and the step follows its sign."""

    name: ClassVar[str] = "mi_fna"
    title: ClassVar[str] = "MI-FNA"

    decay: float = 1.0


@dataclass(frozen=True, kw_only=True)
class DIFNA(TransferFNA):
    """FNA through the diverse inputs of DI²-FGSM: each step may see an image shrunk and shifted.

    Images keep their size, as networks of a fixed input want it: where the original enlarges and
    pads beyond it, this shrinks and pads within.
    """

    name: ClassVar[str] = "di_fna"
    title: ClassVar[str] = "DI-FNA"

    diversity: float = 0.5


class Momentum:
    """A gradient that remembers; of one ascent."""

    def __init__(self, gradient: Gradient, decay: float) -> None:
        self._gradient = gradient
        self._decay = decay
        self._running: Tensor | None = None

    def __call__(self, points: Tensor) -> Tensor:
        """Return μ times the last result plus the gradient at ``points`` by its L1 norm."""
        gradient = self._gradient(points)
        length = gradient.abs().sum(dim=(1, 2, 3), keepdim=True)
        gradient = gradient / length.clamp(min=torch.finfo(gradient.dtype).tiny)
        if self._running is not None:
            gradient = gradient + self._decay * self._running
        self._running = gradient
        return gradient


class Diverse:
    """A model that sees some images shrunk, at a random place on black; of one ascent.

    Args:
        embed: the model.
        seeds: one per image; whether, how much and where it moves is drawn from its own.
        chance: that an image is changed at a step.
        least: the smallest share it is shrunk to.
    """

    def __init__(self, embed: Embed, seeds: Sequence[int], *, chance: float, least: float) -> None:
        self._embed = embed
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self._chance = chance
        self._least = least

    def __call__(self, images: Tensor) -> Tensor:
        """Return the embeddings (B, D) of (B, 3, H, W), some of them changed."""
        if self._chance == 0:
            return self._embed(images)
        drawn = [torch.rand(4, generator=one).tolist() for one in self._generators]
        changed = [
            self._shrunk(image, draw) if draw[0] < self._chance else image
            for image, draw in zip(images, drawn, strict=True)
        ]
        return self._embed(torch.stack(changed))

    def _shrunk(self, image: Tensor, draw: Sequence[float]) -> Tensor:
        """Return (3, H, W) shrunk and placed as three numbers in [0, 1) say."""
        height, width = image.shape[1:]
        share = self._least + (1 - self._least) * draw[1]
        small = max(1, round(share * height)), max(1, round(share * width))
        inner = F.interpolate(image[None], small, mode="bilinear", antialias=False)[0]
        top = int(draw[2] * (height - small[0] + 1))
        left = int(draw[3] * (width - small[1] + 1))
        return F.pad(inner, (left, width - small[1] - left, top, height - small[0] - top))
