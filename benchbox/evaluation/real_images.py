"""Adversarial images as a camera or a file could hold them: in 8 bits, and as JPEG."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from torch import Tensor

from benchbox.data.jpeg import through_jpeg
from benchbox.evaluation.validity import ROUNDING


def in_eight_bits(adversarial: Tensor, clean: Tensor, *, eps: float) -> Tensor:
    """Return the nearest images of 8 bits a channel that lie in the ball and in [0, 1].

    A clean image is of 8 bits itself, so that there is always one: plain rounding leaves a ball
    whose radius is no multiple of 1/255, and is held back to its last level inside.

    Args:
        adversarial: (B, 3, H, W) in [0, 1] and in the ball.
        clean: likewise, multiples of 1/255.
        eps: radius of the ball, in [0, 1].
    """
    levels = (clean * 255).round()
    reach = int((eps + ROUNDING) * 255)
    nearest = (adversarial * 255).round()
    return nearest.clamp(levels - reach, levels + reach).clamp(0, 255) / 255


def rounded(images: Tensor) -> Tensor:
    """Return images rounded to 8 bits a channel, as any file format would, ball or not."""
    return (images * 255).round() / 255


CHANNELS: Mapping[str, Callable[[Tensor], Tensor]] = MappingProxyType(
    {"none": lambda images: images, "eight_bit": rounded, "jpeg": through_jpeg}
)
"""What an adversarial image may pass on its way to the model, by the names in records."""
