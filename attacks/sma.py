"""SMA, the self metric attack (Bouniot, Audigier and Loesch 2020)."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from attacks.ascent_attack import AscentAttack, Start
from attacks.guides import Guides, Identities, as_queries, push_from


@dataclass(frozen=True, kw_only=True)
class SMA(AscentAttack):
    """Pushes a query from its own clean embedding, from a start uniform in ±eps.

    At the clean image the objective is at its minimum and has no gradient: hence the start.
    ``own`` has no meaning here.
    """

    name: ClassVar[str] = "sma"
    title: ClassVar[str] = "SMA"
    start: ClassVar[Start] = "random"

    def guides(self, query_features: Any, query_pids: Any) -> Guides:
        """Return each query's own embedding as its one push guide."""
        embeddings, pids = as_queries(query_features, query_pids)
        identities = Identities.of(pids)
        itself = torch.arange(len(embeddings), device=embeddings.device)[:, None]
        lone = identities.counts[identities.of_query] == 1
        return push_from(embeddings, itself, embeddings.new_ones(len(embeddings), 1), lone)
