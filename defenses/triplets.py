"""Triplets of a batch as defenses of deep ranking draw them, and how hard they are."""

from typing import Literal, NamedTuple, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from benchbox.errors import BenchboxError, unknown_name

Mining = Literal["random", "soft_hard", "hard"]
"""Which positive and which negative of the batch an anchor gets:

- ``random``: any of each;
- ``soft_hard``: any positive beyond the nearest negative and any negative before the farthest
  positive, any at all where there is none (Roth et al. 2020);
- ``hard``: the farthest positive and the nearest negative (Hermans et al. 2017).
"""


class Triplets(NamedTuple):
    """T triplets, as places in a batch.

    Attributes:
        anchor: (T,).
        positive: (T,) of the anchor's identity, never the anchor itself.
        negative: (T,) of another identity.
    """

    anchor: Tensor
    positive: Tensor
    negative: Tensor


def require_mining(how: str) -> None:
    """Check the name of a way to draw triplets.

    Raises:
        BenchboxError: there is none of that name.
    """
    if how not in get_args(Mining):
        raise unknown_name("mining", how, get_args(Mining))


def mine(
    embeddings: Tensor, labels: Tensor, how: Mining, *, generator: torch.Generator
) -> Triplets:
    """Return one triplet for each image that has a positive and a negative in the batch.

    Args:
        embeddings: (B, D), by whose Euclidean distances triplets are chosen.
        labels: (B,).
        how: which of them an anchor gets.
        generator: of the draws, on the CPU.

    Raises:
        BenchboxError: no image has both.
    """
    away = torch.cdist(
        embeddings.detach(), embeddings.detach(), compute_mode="donot_use_mm_for_euclid_dist"
    )
    same = labels[:, None] == labels
    positive, negative = same.clone().fill_diagonal_(fill_value=False), ~same
    farthest = away.masked_fill(~positive, -torch.inf).amax(1, keepdim=True)
    nearest = away.masked_fill(~negative, torch.inf).amin(1, keepdim=True)
    wanted = {
        "random": (positive, negative),
        "soft_hard": (positive & (away > nearest), negative & (away < farthest)),
        "hard": (positive & (away == farthest), negative & (away == nearest)),
    }
    draws = torch.rand(2, *away.shape, generator=generator).to(away.device)
    drawn = [
        _one_of(torch.where(some.any(1, keepdim=True), some, any_), draw)
        for some, any_, draw in zip(wanted[how], (positive, negative), draws, strict=True)
    ]
    anchor = (positive.any(1) & negative.any(1)).nonzero().flatten()
    if not len(anchor):
        raise BenchboxError(
            "no image of the batch has both a fellow and a stranger in it; raise batch_images and "
            "batch_identities to 2 or more."
        )
    return Triplets(anchor, drawn[0][anchor], drawn[1][anchor])


def _one_of(candidates: Tensor, draws: Tensor) -> Tensor:
    """Return (B,) the candidate with the highest draw, each row's as likely as the others."""
    return draws.masked_fill(~candidates, -1).argmax(1)


def distance(first: Tensor, second: Tensor) -> Tensor:
    """Return the (T,) Euclidean distances of (T, D) to (T, D), row by row."""
    length: Tensor = torch.linalg.vector_norm(first - second, dim=1)
    return length


def hardness(anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    """Return (T,) h = d(a, p) − d(a, n): above 0 the negative is the nearer one."""
    return distance(anchor, positive) - distance(anchor, negative)


def margin_loss(hardnesses: Tensor, *, margin: float) -> Tensor:
    """Return the mean of [h + m]₊ (Schroff et al. 2015, FaceNet, with plain distances)."""
    return F.relu(hardnesses + margin).mean()
