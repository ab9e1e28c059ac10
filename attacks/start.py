"""Random starting points, drawn per image so that results do not depend on the batch."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from benchbox.errors import BenchboxError

Generators = torch.Generator | Sequence[torch.Generator]
"""One generator for all images in turn, or one per image."""


def uniform_noise(images: Tensor, rows: Iterable[int], generator: Generators | None) -> Tensor:
    """Return (R, 3, H, W) noise uniform in [-1, 1] for ``rows`` of ``images``.

    It is drawn in float32 on the generator's own device and moved then, so a seed means the same
    noise whatever the precision and device of the images.

    Args:
        images: (B, 3, H, W); their shape, precision and device count.
        rows: which images get noise, R of them.
        generator: one for all, or one per image of the whole batch; a fresh one seeded 0 if None.

    Raises:
        BenchboxError: a sequence of generators is not as long as the batch.
    """
    generators = one_each(generator, len(images))
    noise = [
        torch.empty(images.shape[1:], device=g.device).uniform_(-1, 1, generator=g)
        for g in (generators[row] for row in rows)
    ]
    return torch.stack([one.to(images.device, images.dtype) for one in noise])


def seeds_of(generator: Generators | None, images: int) -> list[int]:
    """Return a seed for each of ``images`` images, from which an attack may draw as it likes.

    Args:
        generator: one for all images in turn, or one per image; a fresh one seeded 0 if None.
        images: how many.

    Raises:
        BenchboxError: a sequence of generators is not as long as the batch.
    """
    return [
        int(torch.randint(2**62, (), generator=one, device=one.device))
        for one in one_each(generator, images)
    ]


def one_each(generator: Generators | None, images: int) -> Sequence[torch.Generator]:
    """Return a generator for each of ``images`` images, one for all where only one was given.

    Raises:
        BenchboxError: a sequence of generators is not as long as the batch.
    """
    if generator is None:
        generator = torch.Generator().manual_seed(0)
    if isinstance(generator, torch.Generator):
        return [generator] * images
    if len(generator) != images:
        raise BenchboxError(
            f"generator: expected one, or one per image ({images}), got {len(generator)}"
        )
    return generator
