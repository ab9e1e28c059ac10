"""Images of a test set, decoded a few batches ahead of their use and never held all at once."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from benchbox.data.decoding import in_threads
from benchbox.data.images import Interpolation, at_size, load_images
from benchbox.data.protocol import ImageRecord

AHEAD = 2
"""Batches that are decoded, or being decoded, while another one is in use."""


class Images(Protocol):
    """N images by their places: a tensor, or files that are decoded when they are asked for."""

    def __len__(self) -> int:
        """Return N."""
        ...

    def __getitem__(self, rows: slice, /) -> Tensor:
        """Return some images, (B, 3, H, W): uint8, or float32 in [0, 1]."""
        ...


@dataclass(frozen=True)
class FileImages:
    """Images on disk, (B, 3, H, W) uint8 when they are asked for, and forgotten afterwards.

    Attributes:
        records: the images.
        size: (height, width) in pixels.
        interpolation: the filter of the resizing.
        threads: how many files are decoded at once; the images do not depend on it.
    """

    records: Sequence[ImageRecord]
    size: tuple[int, int]
    interpolation: Interpolation = "bilinear"
    threads: int = 2

    def __len__(self) -> int:
        """Return how many images there are."""
        return len(self.records)

    def __getitem__(self, rows: slice, /) -> Tensor:
        """Return some of the images, decoded now.

        Raises:
            BenchboxError: one is missing or damaged; the first in the records' order is named.
        """
        return load_images(
            self.records[rows],
            size=self.size,
            interpolation=self.interpolation,
            threads=self.threads,
        )


@dataclass(frozen=True)
class AtSize:
    """Float images in [0, 1] at another size, resized when they are asked for; see `at_size`.

    Attributes:
        images: (N, 3, H, W) in [0, 1].
        size: (height, width) in pixels.
    """

    images: Tensor
    size: tuple[int, int]

    def __len__(self) -> int:
        """Return how many images there are."""
        return len(self.images)

    def __getitem__(self, rows: slice, /) -> Tensor:
        """Return some of the images at the new size, (B, 3, height, width)."""
        return at_size(self.images[rows], self.size)


def in_batches(images: Images, batch_size: int) -> Iterator[tuple[slice, Tensor]]:
    """Yield where each batch stands and its images, in order, the next ones being made meanwhile.

    One thread makes batch after batch, so a fault is that of the first image that has one. At
    most `AHEAD` batches wait.

    Args:
        images: all of them.
        batch_size: images at a time; the last batch may be smaller.
    """
    starts = range(0, len(images), batch_size)
    places = [slice(start, start + batch_size) for start in starts]
    made = in_threads(images.__getitem__, places, threads=1, doing="batching", ahead=AHEAD)
    with closing(made):
        yield from zip(places, made, strict=True)
