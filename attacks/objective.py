"""The objective of every attack here: away from the push guides, towards the pull guides."""

from typing import Literal

import torch
from torch import Tensor

from attacks.guides import Guides

Distance = Literal["squared", "euclidean"]


def distances(embeddings: Tensor, others: Tensor, *, distance: Distance) -> Tensor:
    """Return the (B, L) distances of (B, D) embeddings to (B, L, D) others, row by row.

    ``"squared"`` is the squared Euclidean distance of the reference implementation,
    ``"euclidean"`` the distance of Eq. 3 (Zhou et al. 2025); its gradient at distance zero is 0.
    """
    difference = embeddings[:, None, :] - others
    if distance == "squared":
        return difference.square().sum(dim=-1)
    norm: Tensor = torch.linalg.vector_norm(difference, dim=-1)
    return norm


def push_and_pull(embeddings: Tensor, guides: Guides, *, distance: Distance) -> Tensor:
    """Return the (B,) objective Σ_push w·d(E(x), g) − Σ_pull w·d(E(x), g) of each query.

    Eq. 3 of Zhou et al. 2025. One value per query: the ascent sums them, never averages, so a
    query's gradient does not depend on the batch it rides in.
    """
    push = distances(embeddings, guides.bank[guides.push], distance=distance)
    objective = (guides.push_weight * push).sum(dim=1)
    if guides.pull.shape[1]:
        pull = distances(embeddings, guides.bank[guides.pull], distance=distance)
        objective = objective - (guides.pull_weight * pull).sum(dim=1)
    return objective
