"""From an objective on distances to its gradient in the embeddings, two matrix products."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from attacks.rank_objectives import RankObjective
from attacks.ranking import Ranking

NEAR = 1e-6
"""Below this distance a slope counts as zero: there, direction is rounding."""

EmbeddingGradient = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Embeddings (B, D) to the values (B,) that are to increase and their gradients (B, D)."""


@dataclass(frozen=True, slots=True, eq=False)
class RankedGradient:
    """The values of an objective on the ranking of B queries, and their gradients.

    Attributes:
        objective: on Euclidean distances.
        ranking: whom these B queries are ranked against.
    """

    objective: RankObjective
    ranking: Ranking

    def __call__(self, embeddings: Tensor) -> tuple[Tensor, Tensor]:
        """Return values (B,) and gradients (B, D) at embeddings (B, D), without autograd.

        With d_j = |e − g_j|, the gradient of v in e is Σ_j ∂v/∂d_j · (e − g_j) / d_j.
        """
        with torch.no_grad():
            gallery = self.ranking.features.to(embeddings.dtype)
            distances = euclidean(embeddings, gallery)
            found = self.objective(distances, self.ranking)
            pull = torch.where(distances > NEAR, found.slopes / distances, 0.0)
            gradient = torch.addmm(pull.sum(1, keepdim=True) * embeddings, pull, gallery, alpha=-1)
        return found.values, gradient


def euclidean(embeddings: Tensor, gallery: Tensor) -> Tensor:
    """Return the (B, G) distances of (B, D) to (G, D): |e|² + |g|² − 2 e·g under a root."""
    squares = gallery.square().sum(1) + embeddings.square().sum(1, keepdim=True)
    return torch.addmm(squares, embeddings, gallery.T, alpha=-2).clamp_(min=0).sqrt_()
