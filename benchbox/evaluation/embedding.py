"""Embedding a whole image list in batches."""

from collections.abc import Iterator

import torch
from torch import Tensor

from benchbox.data.images import to_unit
from benchbox.data.streaming import Images
from benchbox.evaluation.portions import in_portions
from benchbox.files.progress import Notice, Progress, silent, unheard
from benchbox.models.embed import Embed, of_rows


def embed_in_batches(
    embed: Embed,
    images: Images,
    *,
    batch_size: int,
    device: torch.device,
    progress: Progress = silent,
    notice: Notice = unheard,
) -> Iterator[Tensor]:
    """Yield the embeddings of one batch after another, (B, D) float32 on the CPU.

    A batch that does not fit into memory is yielded in smaller portions; see `in_portions`.

    Args:
        embed: the model in evaluation mode.
        images: (N, 3, H, W) uint8, or float32 in [0, 1] as adversarial images are.
        batch_size: images at a time; does not change the result beyond rounding.
        device: where ``embed`` lives.
        progress: told after each batch.
        notice: told when memory runs out and fewer images are embedded at a time.

    Raises:
        BenchboxError: one image alone does not fit into memory.
    """

    def embedded(rows: slice, batch: Tensor) -> Tensor:
        there = batch.to(device)
        with torch.no_grad():
            unit = there if there.is_floating_point() else to_unit(there)
            return of_rows(embed, rows)(unit).float().cpu()

    for rows, embeddings in in_portions(
        images, embedded, batch_size=batch_size, device=device, notice=notice
    ):
        yield embeddings
        progress(rows.stop / len(images), "embedding")


def embed_images(
    embed: Embed,
    images: Images,
    *,
    batch_size: int,
    device: torch.device,
    progress: Progress = silent,
    notice: Notice = unheard,
) -> Tensor:
    """Return the embeddings of all images, (N, D) float32 on the CPU; see `embed_in_batches`."""
    return torch.cat(
        list(
            embed_in_batches(
                embed,
                images,
                batch_size=batch_size,
                device=device,
                progress=progress,
                notice=notice,
            )
        )
    )
