"""MedianSmoothing2D: each pixel becomes the median of its neighbourhood."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from defenses.base import Defense
from defenses.origin import Vanilla


@dataclass(frozen=True, kw_only=True)
class MedianSmoothing:
    """Median filter over a k × k window per channel, edges reflected.

    The gradient flows to the pixel that is the median. That is the true derivative almost
    everywhere, yet a poor guide for an attack of few steps: part of what this guard gains is
    masked gradients, not robustness. A longer attack tells (raise ``steps``).

    Source: Xu, Evans and Qi 2018, "Feature Squeezing"; 3 × 3 is advertorch's default.

    Attributes:
        kernel: k, the width of the window in pixels, an odd number.
    """

    kernel: int = 3

    def __call__(self, images: Tensor) -> Tensor:
        """Return smoothed images of the same shape."""
        margin = self.kernel // 2
        padded = F.pad(images, (margin,) * 4, mode="reflect")
        height, width = images.shape[-2:]
        shifted = [
            padded[..., top : top + height, left : left + width]
            for top in range(self.kernel)
            for left in range(self.kernel)
        ]
        return torch.stack(shifted).median(0).values


MEDIAN_SMOOTHING = Defense(
    name="median_smoothing",
    title="MedianSmoothing2D",
    recipe=Vanilla(),
    guard=MedianSmoothing(),
    source="Xu, Evans and Qi 2018",
)
