"""Adversarial images as a camera or a file could hold them: in 8 bits, and as JPEG."""

from collections.abc import Iterator
from typing import Literal

from torch import Tensor

from benchbox.data.jpeg import QUALITY, straight_through_jpeg, through_jpeg
from benchbox.evaluation.validity import ROUNDING
from benchbox.models.embed import Bound, Embed

Through = Literal["nothing", "jpeg"]
"""What stands between an attacker's images and the model."""


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


CHANNELS = ("none", "eight_bit", "jpeg")
"""What an adversarial image may pass on its way to the model, by the names in records."""


def passed(images: Tensor, *, quality: int) -> Iterator[tuple[str, Tensor]]:
    """Yield each of `CHANNELS` with the images as they come out of it, one channel at a time."""
    yield "none", images
    yield "eight_bit", rounded(images)
    yield "jpeg", through_jpeg(images, quality=quality)


def behind_jpeg(embed: Embed, *, quality: int = QUALITY) -> Embed:
    """Return a model that sees images as a JPEG of them, and is attacked straight through it.

    Args:
        embed: the model, with its guard; the camera's JPEG stands before both.
        quality: from 1 to 100.
    """

    def seen(images: Tensor, *ids: Tensor) -> Tensor:
        model = Bound(embed.embed, ids) if isinstance(embed, Bound) else embed
        return model(straight_through_jpeg(images, quality=quality))

    return Bound(seen, embed.ids) if isinstance(embed, Bound) else seen
