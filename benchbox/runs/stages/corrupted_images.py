"""Corrupted images of a test set, made when they are asked for and forgotten afterwards."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from attacks.corruptions.drawing import Drawn, corrupted
from benchbox.data.decoding import decode_image, in_threads, strict_decoding
from benchbox.data.images import Interpolation
from benchbox.data.protocol import ImageRecord


@dataclass(frozen=True)
class CorruptedImages:
    """N images on disk, each corrupted in its own size and then brought to the network's.

    So does Market-1501-C: the severity of a blur does not depend on the network.

    Attributes:
        records: the images.
        drawn: what happens to each.
        chance: what tells these draws from others: a seed and a repeat.
        size: (height, width) in pixels, of the result.
        interpolation: the filter of the resizing.
    """

    records: Sequence[ImageRecord]
    drawn: Sequence[Drawn]
    chance: tuple[object, ...]
    size: tuple[int, int]
    interpolation: Interpolation = "bilinear"

    def __len__(self) -> int:
        """Return how many images there are."""
        return len(self.records)

    def __getitem__(self, rows: slice, /) -> Tensor:
        """Return some of the images, (B, 3, H, W) uint8, made now.

        Raises:
            BenchboxError: a file is missing or damaged.
        """
        places = range(len(self.records))[rows]
        with strict_decoding():
            made = list(in_threads(self._made, places, threads=2, doing="corrupting"))
        return torch.from_numpy(np.stack(made)).permute(0, 3, 1, 2).contiguous()

    def _made(self, place: int) -> NDArray[np.uint8]:
        record = self.records[place]
        pixels = _pixels(record.path)
        image = Image.fromarray(corrupted(pixels, self.drawn[place], *self.chance, record.key))
        height, width = self.size
        if image.size != (width, height):
            image = image.resize((width, height), Image.Resampling[self.interpolation.upper()])
        return np.asarray(image)


def _pixels(path: Path) -> NDArray[np.uint8]:
    return np.asarray(decode_image(path)[0])
