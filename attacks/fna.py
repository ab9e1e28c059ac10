"""FNA, the furthest-negative attack (Bouniot, Audigier and Loesch 2020)."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from attacks.ascent_attack import AscentAttack
from attacks.guides import Guides, Identities, as_queries, push_from_identity
from benchbox.errors import BenchboxError


@dataclass(frozen=True, kw_only=True)
class FNA(AscentAttack):
    """Pushes from the own identity and pulls to the farthest other identity's centroid.

    Starts clean. Identities, centroids and distances are those of the attacked set.
    """

    name: ClassVar[str] = "fna"
    title: ClassVar[str] = "FNA"

    def guides(self, query_features: Any, query_pids: Any) -> Guides:
        """Return push guides of the own identity and one pull guide, with weight 1.

        Raises:
            BenchboxError: also if all queries are of one identity: none is left to pull to.
        """
        embeddings, pids = as_queries(query_features, query_pids)
        identities = Identities.of(pids)
        centroids = identities.centroids(embeddings)
        farthest = farthest_identity(embeddings, centroids, identities.of_query)
        guides = push_from_identity(embeddings, identities, own=self.own)
        return Guides(
            bank=torch.cat([embeddings, centroids]),
            push=guides.push,
            push_weight=guides.push_weight,
            pull=(len(embeddings) + farthest)[:, None],
            pull_weight=guides.push_weight.new_ones(len(embeddings), 1),
            lone=guides.lone,
        )


def farthest_label(embeddings: Tensor, labels: Tensor) -> Tensor:
    """Return (N,) the label of the identity FNA pulls each image to, among those present.

    Args:
        embeddings: (N, D) clean.
        labels: (N,) of the same images.

    Raises:
        BenchboxError: there is only one identity.
    """
    embeddings, labels = as_queries(embeddings, labels)
    identities = Identities.of(labels)
    farthest = farthest_identity(embeddings, identities.centroids(embeddings), identities.of_query)
    present: Tensor = torch.unique(labels)
    return present[farthest]


def farthest_identity(embeddings: Tensor, centroids: Tensor, own: Tensor) -> Tensor:
    """Return (N,) the index of the farthest centroid (Euclidean) but the query's own.

    Of equally far ones the first counts, that is, the smallest pid.

    Args:
        embeddings: (N, D).
        centroids: (K, D).
        own: (N,) the index of each query's own identity.

    Raises:
        BenchboxError: there is only one identity.
    """
    if len(centroids) < 2:
        raise BenchboxError(
            "FNA: all attacked queries are of one identity, so there is no farthest other one to "
            "pull to; attack queries of two identities or more"
        )
    # Without matrix products: their rounding could prefer another of two almost equally far ones.
    away = torch.cdist(embeddings, centroids, compute_mode="donot_use_mm_for_euclid_dist")
    return away.scatter_(1, own[:, None], -torch.inf).argmax(dim=1)
