"""Adversarial images as a camera or a file could hold them: in 8 bits, and as JPEG."""

from collections.abc import Iterator
from io import BytesIO
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from benchbox.evaluation.validity import ROUNDING
from benchbox.models.embed import Bound, Embed

Through = Literal["nothing", "jpeg"]
"""What stands between an attacker's images and the model."""

QUALITY = 95
"""Of the JPEG, on libjpeg's scale up to 100: what cameras and editors call high."""


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


def through_jpeg(images: Tensor, *, quality: int = QUALITY) -> Tensor:
    """Return images as they come back from a JPEG by Pillow, with its subsampled colours (4:2:0).

    Args:
        images: (B, 3, H, W) float32 in [0, 1].
        quality: from 1 to 100.
    """
    pixels = (images * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    back = np.stack([_decoded(image, quality) for image in pixels])
    return torch.from_numpy(back).permute(0, 3, 1, 2).float().div_(255).to(images.device)


def _decoded(pixels: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    stream = BytesIO()
    Image.fromarray(pixels).save(stream, format="JPEG", quality=quality)
    with Image.open(stream, formats=("JPEG",)) as image:
        return np.asarray(image)


CHANNELS = ("none", "eight_bit", "jpeg")
"""What an adversarial image may pass on its way to the model, by the names in records."""


def passed(images: Tensor, *, quality: int) -> Iterator[tuple[str, Tensor]]:
    """Yield each of `CHANNELS` with the images as they come out of it, one channel at a time."""
    yield "none", images
    yield "eight_bit", rounded(images)
    yield "jpeg", through_jpeg(images, quality=quality)


def straight_through_jpeg(images: Tensor, *, quality: int = QUALITY) -> Tensor:
    """Return `through_jpeg`, whose gradient is taken for the identity (Athalye et al. 2018, BPDA).

    Rounding coefficients has a gradient of zero, and a JPEG stays near its image: what moves the
    image moves the JPEG about as far.

    Args:
        images: (B, 3, H, W) in [0, 1].
        quality: from 1 to 100.
    """
    back = through_jpeg(images.detach(), quality=quality)
    # In this order the sum is the JPEG to the last bit: a difference of exactly 0 is added.
    return back + (images - images.detach())


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
