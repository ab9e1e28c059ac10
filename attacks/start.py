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
    if generator is None:
        generator = torch.Generator().manual_seed(0)
    if isinstance(generator, torch.Generator):
        generator = [generator] * len(images)
    if len(generator) != len(images):
        raise BenchboxError(
            f"generator: expected one, or one per image ({len(images)}), got {len(generator)}"
        )
    noise = [
        torch.empty(images.shape[1:], device=g.device).uniform_(-1, 1, generator=g)
        for g in (generator[row] for row in rows)
    ]
    return torch.stack([one.to(images.device, images.dtype) for one in noise])
