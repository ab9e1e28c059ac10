"""Four defenses that are broken on purpose: each fools the attack instead of resisting it."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from defenses import Defense
from defenses.origin import Vanilla


@dataclass(frozen=True, kw_only=True)
class ZeroedGradient:
    """Gives the attack no gradient at all."""

    def __call__(self, images: Tensor) -> Tensor:
        return images.detach() + 0 * images


class _Noisy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, images: Tensor) -> Tensor:
        return images.clone()

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        return torch.randn_like(gradient)


@dataclass(frozen=True, kw_only=True)
class NoisyGradient:
    """Gives the attack noise for a gradient."""

    def __call__(self, images: Tensor) -> Tensor:
        return _Noisy.apply(images)


@dataclass(frozen=True, kw_only=True)
class RandomResizing:
    """Shrinks by a random share and pads at a random place (Xie et al. 2018), without EOT."""

    least: float = 0.7

    def __call__(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        share = self.least + (1 - self.least) * float(torch.rand(()))
        small = max(1, round(share * height)), max(1, round(share * width))
        shrunk = F.interpolate(images, small, mode="bilinear")
        top = int(torch.randint(0, height - small[0] + 1, ()))
        left = int(torch.randint(0, width - small[1] + 1, ()))
        pad = (left, width - small[1] - left, top, height - small[0] - top)
        return F.pad(shrunk, pad)


@dataclass(frozen=True, kw_only=True)
class Quantisation:
    """Rounds pixels to a few levels, with rounding's own gradient, which is zero."""

    levels: int = 16

    def __call__(self, images: Tensor) -> Tensor:
        return (images * self.levels).round() / self.levels


ZEROED = Defense(
    name="zeroed", title="Zeroed", recipe=Vanilla(), guard=ZeroedGradient(), source="a test"
)
NOISY = Defense(
    name="noisy", title="Noisy", recipe=Vanilla(), guard=NoisyGradient(), source="a test"
)
RESIZING = Defense(
    name="resizing", title="Resizing", recipe=Vanilla(), guard=RandomResizing(), source="a test"
)
QUANTISED = Defense(
    name="quantised", title="Quantised", recipe=Vanilla(), guard=Quantisation(), source="a test"
)
