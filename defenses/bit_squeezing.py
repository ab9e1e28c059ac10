"""BitSqueezing: fewer colour levels, so that small perturbations round away."""

from dataclasses import dataclass

import torch
from torch import Tensor

from defenses.base import Defense
from defenses.origin import Vanilla


@dataclass(frozen=True, kw_only=True)
class BitSqueezing:
    """Round each channel to ``bits`` bits: x ↦ round(x · (2ᵇ − 1)) / (2ᵇ − 1).

    Rounding has a zero gradient, so the backward pass is straight-through: the identity (BPDA).

    Source: Xu, Evans and Qi 2018, "Feature Squeezing". They use 4 and 5 bits on colour images;
    5 is also the default of advertorch, whose implementation earlier ReID tables used.

    Attributes:
        bits: colour depth per channel, 1 to 8.
    """

    bits: int = 5

    def __call__(self, images: Tensor) -> Tensor:
        """Return squeezed images of the same shape."""
        levels = 2**self.bits - 1
        with torch.no_grad():
            rounding: Tensor = torch.round(images * levels) / levels - images
        return images + rounding


BIT_SQUEEZING = Defense(
    name="bit_squeezing",
    title="BitSqueezing",
    recipe=Vanilla(),
    guard=BitSqueezing(),
    source="Xu, Evans and Qi 2018",
)
