"""From an objective on distances to its gradient in the embeddings, two matrix products."""

from dataclasses import dataclass, replace
from typing import Protocol, Self

import torch
from torch import Tensor

from attacks.gradient import Objective
from attacks.guides import Guides
from attacks.rank_objectives import RankObjective
from attacks.ranking import Ranking

NEAR = 1e-6
"""Below this distance a slope counts as zero: there, direction is rounding."""


class EmbeddingGradient(Protocol):
    """An objective on the embeddings of B queries; ``objective[rows]`` is that of some of them."""

    def __call__(self, embeddings: Tensor) -> tuple[Tensor, Tensor]:
        """Return the values (B,) that are to increase and their gradients, as embeddings (B, D)."""
        ...

    def __getitem__(self, rows: Tensor) -> Self:
        """Return the objective of the queries ``rows``; one may come several times."""
        ...


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
            gallery, squares = (
                part.to(embeddings.dtype) for part in (self.ranking.features, self.ranking.squares)
            )
            distances = euclidean(embeddings, gallery, squares)
            found = self.objective(distances, self.ranking)
            pull = torch.where(distances > NEAR, found.slopes / distances, 0.0)
            gradient = torch.addmm(pull.sum(1, keepdim=True) * embeddings, pull, gallery, alpha=-1)
        return found.values, gradient

    def __getitem__(self, rows: Tensor) -> Self:
        """Return the objective of the queries ``rows``."""
        return replace(self, ranking=self.ranking[rows])


@dataclass(frozen=True, slots=True, eq=False)
class GuidedGradient:
    """The values of an objective by guides, FNA's or SMA's own, and their gradients.

    Attributes:
        objective: embeddings (B, D) and guides to (B,), differentiable.
        guides: of these B queries.
    """

    objective: Objective
    guides: Guides

    def __call__(self, embeddings: Tensor) -> tuple[Tensor, Tensor]:
        """Return values (B,) and gradients (B, D) at embeddings (B, D)."""
        with torch.enable_grad():
            leaf = embeddings.detach().requires_grad_()
            values = self.objective(leaf, self.guides)
            (gradient,) = torch.autograd.grad(values.sum(), leaf)
        return values.detach(), gradient

    def __getitem__(self, rows: Tensor) -> Self:
        """Return the objective of the queries ``rows``."""
        return replace(self, guides=self.guides[rows])


def euclidean(embeddings: Tensor, gallery: Tensor, squares: Tensor) -> Tensor:
    """Return the (B, G) distances of (B, D) to (G, D): |e|² + |g|² − 2 e·g under a root.

    Args:
        embeddings: (B, D).
        gallery: (G, D).
        squares: (G,) the gallery's squared lengths |g|².
    """
    both = squares + embeddings.square().sum(1, keepdim=True)
    return torch.addmm(both, embeddings, gallery.T, alpha=-2).clamp_(min=0).sqrt_()
