"""Images through a JPEG file, and the gradient that is taken for a JPEG's."""

from io import BytesIO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

QUALITY = 95
"""On libjpeg's scale up to 100: what cameras and editors call high."""


def through_jpeg(images: Tensor, *, quality: int = QUALITY) -> Tensor:
    """Return images as they come back from a JPEG by Pillow, with its subsampled colours (4:2:0).

    Args:
        images: (B, 3, H, W) float32 in [0, 1].
        quality: from 1 to 100.
    """
    pixels = (images * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    back = np.stack([_decoded(image, quality) for image in pixels])
    return torch.from_numpy(back).permute(0, 3, 1, 2).float().div_(255).to(images.device)


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


def _decoded(pixels: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    stream = BytesIO()
    Image.fromarray(pixels).save(stream, format="JPEG", quality=quality)
    with Image.open(stream, formats=("JPEG",)) as image:
        return np.asarray(image)
