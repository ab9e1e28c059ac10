"""Batches that are done in smaller portions once the device's memory runs out."""

from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
from torch import Tensor

from benchbox.data.streaming import Images, in_batches
from benchbox.errors import BenchboxError
from benchbox.files.progress import Notice, unheard

T = TypeVar("T")

Work = Callable[[slice, Tensor], T]
"""What is done with some images: where they stand among all, and themselves, (B, 3, H, W)."""


def in_portions(
    images: Images,
    work: Work[T],
    *,
    batch_size: int,
    device: torch.device,
    notice: Notice = unheard,
) -> Iterator[tuple[slice, T]]:
    """Yield where each portion of the images stands and what the work made of it, in order.

    A portion is a batch until one does not fit into memory. That one is done in halves, and no
    later portion is larger: what did not fit once would not fit again.

    Args:
        images: all of them.
        work: treats each image by itself, and may be called again for images that did not fit.
        batch_size: images at a time.
        device: whose memory it is.
        notice: told each time that portions become smaller.

    Raises:
        BenchboxError: one image alone does not fit.
    """
    most = batch_size
    for rows, batch in in_batches(images, batch_size):
        start, end = rows.start, rows.start + len(batch)
        while start < end:
            portion = slice(start, min(end, start + most))
            some = batch[portion.start - rows.start : portion.stop - rows.start]
            result = _if_it_fits(work, portion, some)
            if result is not None:
                yield portion, result
                start = portion.stop
                continue
            if device.type == "cuda":
                torch.cuda.empty_cache()
            most = _half(some, device)
            notice(
                f"{len(some)} images at a time do not fit into the memory of {device}: going on "
                f"with {most}. --batch-size {most} spares the failed try."
            )


def _if_it_fits(work: Work[T], portion: slice, some: Tensor) -> T | None:
    """Return what the work makes of a portion; None if memory ran out.

    The error is dropped here: its traceback holds the tensors that filled the memory.
    """
    try:
        return work(portion, some)
    except torch.OutOfMemoryError:
        return None


def _half(some: Tensor, device: torch.device) -> int:
    """Return how many of some images to try next."""
    if len(some) == 1:
        height, width = some.shape[-2:]
        raise BenchboxError(
            f"one image of {height}×{width} alone does not fit into the memory of {device}: lower "
            "image_size in the grid, end what else uses the device (--workers), or take another "
            "one (--device cpu)."
        )
    return len(some) // 2
