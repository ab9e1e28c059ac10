"""Embedding a whole image list in batches."""

from collections.abc import Iterator

import torch
from torch import Tensor

from benchbox.data.images import to_unit
from benchbox.data.streaming import Images, in_batches
from benchbox.files.progress import Progress, silent
from benchbox.models.embed import Embed, of_rows


def embed_in_batches(
    embed: Embed,
    images: Images,
    *,
    batch_size: int,
    device: torch.device,
    progress: Progress = silent,
) -> Iterator[Tensor]:
    """Yield the embeddings of one batch after another, (B, D) float32 on the CPU.

    Args:
        embed: the model in evaluation mode.
        images: (N, 3, H, W) uint8, or float32 in [0, 1] as adversarial images are.
        batch_size: images at a time; does not change the result beyond rounding.
        device: where ``embed`` lives.
        progress: told after each batch.
    """
    for rows, batch in in_batches(images, batch_size):
        with torch.no_grad():
            there = batch.to(device)
            unit = there if there.is_floating_point() else to_unit(there)
            embeddings = of_rows(embed, rows)(unit).float().cpu()
        yield embeddings
        progress(min(1.0, rows.stop / len(images)), "embedding")


def embed_images(
    embed: Embed,
    images: Images,
    *,
    batch_size: int,
    device: torch.device,
    progress: Progress = silent,
) -> Tensor:
    """Return the embeddings of all images, (N, D) float32 on the CPU; see `embed_in_batches`."""
    return torch.cat(
        list(
            embed_in_batches(embed, images, batch_size=batch_size, device=device, progress=progress)
        )
    )
