"""MetricIFGSM, the iterative fast gradient sign method on distances (Bai et al. 2020)."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from attacks.ascent_attack import AscentAttack, Start
from attacks.guides import Guides, Identities, as_queries, push_from_identity


@dataclass(frozen=True, kw_only=True)
class MetricIFGSM(AscentAttack):
    """Pushes a query from the embeddings of its own identity, from the clean image.

    A query that is the only one of its identity has itself as its only guide, and there the
    gradient is exactly zero: the reference implementation leaves it unattacked, which flatters a
    defense. Here such a query is attacked as SMA would, from a random start; ``guides.lone``
    counts them.
    """

    name: ClassVar[str] = "ifgsm"
    title: ClassVar[str] = "IFGSM"
    start: ClassVar[Start] = "random_if_lone"

    def guides(self, query_features: Any, query_pids: Any) -> Guides:
        """Return push guides of the own identity; a lone query keeps itself whatever ``own``."""
        embeddings, pids = as_queries(query_features, query_pids)
        guides = push_from_identity(embeddings, Identities.of(pids), own=self.own)
        weight = guides.push_weight.clone()
        weight[guides.lone, 0] = 1  # it has no other guide: without itself, only random noise
        return replace(guides, push_weight=weight)
