"""Whether a model answers differently when asked twice, and how many draws it then takes."""

import torch
from torch import Tensor

from benchbox.models.embed import Embed

DRAWS = 8
"""Passes over which the gradient of a randomised guard is averaged."""
TRIED = slice(0, 8)
"""The images that are embedded twice to see whether a model answers alike."""
ROUNDING = 1e-4
"""How far two passes of a fixed model may differ, as a share of an embedding's length."""


@torch.no_grad()
def draws_of(embed: Embed, images: Tensor) -> int:
    """Return how many draws an attack on ``embed`` should average over: 1 or `DRAWS`.

    A guard that draws at random is met by the expectation over transformation (Athalye et al.
    2018). A model that changes under evaluation, a dynamic defense, looks the same from here: it
    is attacked as a randomised one, and both are to be flagged where numbers are shown.

    Args:
        embed: images to embeddings, as it is ranked.
        images: (B, 3, H, W) a few images in [0, 1].
    """
    first, second = embed(images), embed(images)
    apart = torch.linalg.vector_norm(first - second, dim=1)
    length = torch.linalg.vector_norm(first, dim=1)
    return DRAWS if bool((apart > ROUNDING * length).any()) else 1
