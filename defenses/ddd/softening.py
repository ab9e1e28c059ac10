"""Farthest negative extension softening, FNES (Zhou et al. 2025, Eq. 4)."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from benchbox.errors import BenchboxError


@dataclass(frozen=True, kw_only=True)
class Softening:
    """Stretch a perturbation by a random amount, and soften the label accordingly.

    The paper's values stand in a supplement that is not public. These are ours, tuned on
    held-out training identities of Sidewalk (``leaderboards/measured/tuning-sidewalk.csv``).

    Attributes:
        scale: γ ≥ 1, how far the perturbation is stretched.
        low: a of ω ~ U(a, b), the share of the clean image in the mix.
        high: b of ω ~ U(a, b).
        clean_mass: λ1, the true class's probability in the clean part of the label.
        robust_mass: λ2, the same in the adversarial part, before the move.
        moved: v < λ2, what moves from the true class to the farthest negative identity.

    Raises:
        BenchboxError: a value is out of its range.
    """

    scale: float = 1.25
    low: float = 0.05
    high: float = 0.35
    clean_mass: float = 0.9
    robust_mass: float = 0.9
    moved: float = 0.02

    def __post_init__(self) -> None:
        if not 1 <= self.scale < math.inf:
            raise BenchboxError(f"fnes.scale: γ is a number from 1 up, got {self.scale!r}")
        if not 0 < self.low <= self.high < 1:
            raise BenchboxError(
                f"fnes.low, fnes.high: expected 0 < a ≤ b < 1, got {self.low!r}, {self.high!r}"
            )
        for key in ("clean_mass", "robust_mass"):
            if not 0 < getattr(self, key) <= 1:
                raise BenchboxError(f"fnes.{key}: expected (0, 1], got {getattr(self, key)!r}")
        if not 0 <= self.moved < self.robust_mass:
            raise BenchboxError(
                f"fnes.moved: v is smaller than robust_mass ({self.robust_mass}), "
                f"got {self.moved!r}"
            )


def soften(
    clean: Tensor,
    attacked: Tensor,
    labels: Tensor,
    farthest: Tensor,
    *,
    classes: int,
    by: Softening,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Return x_adv (B, 3, H, W) and y_adv (B, classes) of Eq. 4, with one ω per image.

    x_temp = x + γ (x̂ − x)
    x_adv = ω x + (1 − ω) x_temp
    y_adv = ω φ(y, λ1) + (1 − ω) τ(φ(y, λ2), v)

    x_adv is clipped to [0, 1], which the paper does not say: outside there are no images.

    Args:
        clean: x, (B, 3, H, W) in [0, 1].
        attacked: x̂, the same shape.
        labels: y, (B,) class indices.
        farthest: (B,) the classes of the farthest negative identities.
        classes: k.
        by: γ, a, b, λ1, λ2, v.
        generator: of ω, on the CPU.
    """
    draws = torch.rand(len(labels), generator=generator).to(clean.device)
    mix = by.low + (by.high - by.low) * draws
    stretched = clean + by.scale * (attacked - clean)
    images = torch.lerp(stretched, clean, mix.view(-1, 1, 1, 1)).clamp(0, 1)
    easy = smooth(labels, by.clean_mass, classes)
    hard = move(smooth(labels, by.robust_mass, classes), labels, farthest, by.moved)
    return images, torch.lerp(hard, easy, mix[:, None])


def smooth(labels: Tensor, mass: float, classes: int) -> Tensor:
    """Return φ(y, λ): (B, k), ``mass`` on the true class, the rest spread evenly over the others.

    After Szegedy et al. 2016, whose own form gives the true class a part of the rest, too.
    """
    true = F.one_hot(labels, classes).to(torch.float32)
    return mass * true + (1 - mass) / (classes - 1) * (1 - true)


def move(targets: Tensor, labels: Tensor, farthest: Tensor, share: float) -> Tensor:
    """Return τ(·, v): (B, k) with ``share`` moved from the true class to the farthest one."""
    classes = targets.shape[1]
    gain = F.one_hot(farthest, classes) - F.one_hot(labels, classes)
    return targets + share * gain.to(targets.dtype)
