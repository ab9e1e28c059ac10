"""Images of a split as one uint8 tensor in memory, and their way to [0, 1]."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import interpolate

from benchbox.data.decoding import decode_image, in_threads, strict_decoding
from benchbox.data.protocol import ImageRecord
from benchbox.errors import BenchboxError
from benchbox.files.progress import Progress, silent

Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]
"""Pillow's filters, by their names in lower case."""


def load_images(
    records: Sequence[ImageRecord],
    *,
    size: tuple[int, int],
    interpolation: Interpolation = "bilinear",
    threads: int = 2,
    progress: Progress = silent,
) -> torch.Tensor:
    """Return the images as a uint8 tensor (N, 3, H, W), in the records' order.

    An image of another size is resized with one of Pillow's filters, which are antialiased when
    it shrinks; one that already has the size keeps its pixels.

    Args:
        records: the images.
        size: (height, width) in pixels, the field's order: (256, 128).
        interpolation: the filter.
        threads: how many files are decoded at once; the result does not depend on it.
        progress: told after each image.

    Raises:
        BenchboxError: an image is missing, empty, truncated or no JPEG or PNG, or the tensor
            does not fit into memory.
    """
    height, width = size
    if height < 1 or width < 1:
        raise BenchboxError(f"image size {size}: expected (height, width) of at least 1 pixel.")
    shape = (len(records), 3, height, width)
    try:
        images = torch.empty(shape, dtype=torch.uint8)
    except RuntimeError as error:
        gigabytes = len(records) * 3 * height * width / 1e9
        raise BenchboxError(
            f"{len(records)} images of {height}x{width} need {gigabytes:.1f} GB of memory, "
            "more than this machine gives. Choose a smaller image size."
        ) from error
    target = images.numpy()
    filter_ = Image.Resampling[interpolation.upper()]

    def load(index: int) -> None:
        image, _ = decode_image(records[index].path)
        if image.size != (width, height):
            image = image.resize((width, height), filter_)
        target[index] = np.asarray(image).transpose(2, 0, 1)

    with strict_decoding():
        indices = range(len(records))
        for _ in in_threads(load, indices, threads=threads, doing="loading", progress=progress):
            pass
    return images


def at_size(images: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Return float images in [0, 1] at another size, by a bilinear filter with antialiasing.

    Args:
        images: (N, 3, H, W) in [0, 1]; of that size already, they are returned as they are.
        size: (height, width) in pixels.
    """
    if tuple(images.shape[2:]) == size:
        return images
    resized = interpolate(images, size=size, mode="bilinear", antialias=True)
    return resized.clamp(0, 1)


def to_unit(images: torch.Tensor) -> torch.Tensor:
    """Return uint8 images as float32 in [0, 1], the range attacks clip to.

    Raises:
        BenchboxError: the images are not uint8 (already scaled ones would turn nearly black).
    """
    if images.dtype != torch.uint8:
        raise BenchboxError(f"to_unit takes uint8 images, not {images.dtype}.")
    return images.to(torch.float32).div_(255)
