"""Total-variation minimisation: an image of few edges that agrees with some of the pixels."""

from dataclasses import dataclass

import torch
from torch import Tensor

from benchbox.errors import BenchboxError
from defenses.base import Defense
from defenses.origin import Vanilla

_PRIMAL, _DUAL = 2.0, 1 / 16
"""Step sizes τ and σ of the primal and the dual: τ σ ‖∇‖² ≤ 1, as ‖∇‖² ≤ 8 (Chambolle 2004)."""


@dataclass(frozen=True, kw_only=True)
class TotalVariation:
    """Drop pixels at random and rebuild the image: argmin_z ‖X ⊙ (z − x)‖² + λ TV(z).

    X keeps each pixel of each channel with probability 1 − ``drop``; TV is the sum over pixels of
    the length of the gradient, channel by channel. The minimum is unique in what X keeps and is
    found by the primal-dual method of Chambolle and Pock 2011 ("A First-Order Primal-Dual
    Algorithm for Convex Problems with Applications to Imaging", Algorithm 1); the authors take the
    split Bregman method, which has the same minimum. Dropped pixels start at the mean of those
    that were kept.

    The backward pass is straight-through: the identity (BPDA, Athalye et al. 2018). X is drawn
    from torch's own generator, anew for each look, so attacks average over draws or meet another
    one at each step.

    Source: Guo et al. 2018, "Countering Adversarial Images using Input Transformations",
    and their code: half of the pixels are dropped, λ is 0.03, 100 iterations.

    Attributes:
        drop: the share of pixels that is dropped; 0 leaves nothing to chance.
        weight: λ.
        iterations: of the primal-dual method.

    Raises:
        BenchboxError: a value is out of its range.
    """

    drop: float = 0.5
    weight: float = 0.03
    iterations: int = 100

    def __post_init__(self) -> None:
        if not 0 <= self.drop < 1 or self.weight < 0 or self.iterations < 0:
            raise BenchboxError(
                "total_variation: expected drop in [0, 1), weight ≥ 0 and iterations ≥ 0, got "
                f"{self.drop!r}, {self.weight!r} and {self.iterations!r}"
            )

    def __call__(self, images: Tensor) -> Tensor:
        """Return rebuilt images of the same shape."""
        kept = (torch.rand(images.shape) >= self.drop).to(images)
        rebuilt = rebuild(
            images.detach(), kept, weight=self.weight, iterations=self.iterations
        ).clamp(0, 1)
        return rebuilt + (images - images.detach())


@torch.no_grad()
def rebuild(images: Tensor, kept: Tensor, *, weight: float, iterations: int) -> Tensor:
    """Return argmin_z Σ kept (z − x)² + λ TV(z), each image and channel by itself.

    Args:
        images: x, (B, 3, H, W).
        kept: likewise, 1 where a pixel counts and 0 where it is not known.
        weight: λ.
        iterations: how many steps of the primal-dual method are taken.
    """
    known = kept.sum((2, 3), keepdim=True).clamp(min=1)
    mean = (kept * images).sum((2, 3), keepdim=True) / known
    found = torch.where(kept.bool(), images, mean)
    ahead = found
    down, across = torch.zeros_like(found), torch.zeros_like(found)
    for _ in range(iterations):
        down[:, :, :-1] += _DUAL * (ahead[:, :, 1:] - ahead[:, :, :-1])
        across[..., :-1] += _DUAL * (ahead[..., 1:] - ahead[..., :-1])
        # Onto the ball of radius λ at every pixel; a small number keeps 0 / 0 away.
        shrink = (torch.hypot(down, across) / max(weight, 1e-12)).clamp(min=1)
        down, across = down / shrink, across / shrink
        point = found + _PRIMAL * _divergence(down, across)
        before, found = found, (point + 2 * _PRIMAL * kept * images) / (1 + 2 * _PRIMAL * kept)
        ahead = 2 * found - before
    return found


def _divergence(down: Tensor, across: Tensor) -> Tensor:
    """Return −∇ᵀ of a field whose last row and last column are 0."""
    result = down + across
    result[:, :, 1:] -= down[:, :, :-1]
    result[..., 1:] -= across[..., :-1]
    return result


TOTAL_VARIATION = Defense(
    name="total_variation",
    title="Total variation",
    recipe=Vanilla(),
    guard=TotalVariation(),
    source="Guo et al. 2018",
)
