"""Embedding a whole image list in batches."""

import torch
from torch import Tensor

from benchbox.data.images import to_unit
from benchbox.files.progress import Progress, silent
from benchbox.models.embed import Embed, of_rows


@torch.no_grad()
def embed_images(
    embed: Embed,
    images: Tensor,
    *,
    batch_size: int,
    device: torch.device,
    progress: Progress = silent,
) -> Tensor:
    """Return the embeddings of all images, (N, D) float32 on the CPU.

    Args:
        embed: the model in evaluation mode.
        images: (N, 3, H, W) uint8, or float32 in [0, 1] as adversarial images are.
        batch_size: images at a time; does not change the result beyond rounding.
        device: where ``embed`` lives.
        progress: told after each batch.
    """
    parts = []
    for start in range(0, len(images), batch_size):
        rows = slice(start, start + batch_size)
        batch = images[rows].to(device)
        unit = batch if batch.is_floating_point() else to_unit(batch)
        parts.append(of_rows(embed, rows)(unit).float().cpu())
        progress(min(1.0, (start + batch_size) / len(images)), "embedding")
    return torch.cat(parts)
