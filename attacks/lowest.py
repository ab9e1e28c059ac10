"""The worst retrieval found so far, query by query."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from attacks.base import Found


@dataclass(frozen=True, slots=True, eq=False)
class Lowest:
    """For B queries the images with the lowest AP so far, and those with the deepest first match.

    The tensors are written to; the record is not.

    Attributes:
        images: (B, 3, H, W) of the lowest AP.
        ap: (B,) float64, infinite until something was offered; NaN never counts as lower.
        part: (B,) int64, which part of an ensemble found each.
        deepest: (B, 3, H, W) of the deepest first match.
        first_hit: (B,) int64 its rank, from 1.
    """

    images: Tensor
    ap: Tensor
    part: Tensor
    deepest: Tensor
    first_hit: Tensor

    @classmethod
    def none_yet(cls, images: Tensor) -> Self:
        """Return a record of clean images, from which anything offered is an improvement."""
        nothing = torch.zeros(len(images), dtype=torch.int64, device=images.device)
        infinite = torch.full((len(images),), torch.inf, dtype=torch.float64, device=images.device)
        return cls(images.clone(), infinite, nothing, images.clone(), nothing.clone())

    def offer(
        self, images: Tensor, ap: Tensor, first_hit: Tensor, rows: Tensor, *, part: int
    ) -> None:
        """Take over what is worse than all before it.

        Args:
            images: (N, 3, H, W).
            ap: (N,) of them.
            first_hit: (N,) of them.
            rows: (N,) which queries, each once.
            part: who offers.
        """
        lower = ap < self.ap[rows]
        self.images[rows[lower]] = images[lower]
        self.ap[rows[lower]] = ap[lower].to(self.ap.dtype)
        self.part[rows[lower]] = part
        deeper = first_hit > self.first_hit[rows]
        self.deepest[rows[deeper]] = images[deeper]
        self.first_hit[rows[deeper]] = first_hit[deeper]

    def found(self) -> Found:
        """Return what an attack hands back."""
        return Found(self.images, self.deepest, self.part)
