"""Guides: the clean embeddings a query is pushed from and pulled to, computed once."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from attacks.base import widened
from benchbox.errors import BenchboxError
from benchbox.models.embed import Rows

Own = Literal["reference", "exclude"]


@dataclass(frozen=True, slots=True, eq=False)
class Guides:
    """What each of B queries is pushed from and pulled to; ``guides[rows]`` selects queries.

    Attributes:
        bank: (M, D) float, the embeddings the indices point into; shared by all selections.
        push: (B, L) int64 indices of the embeddings to move away from.
        push_weight: (B, L) float; 0 marks an entry that does not count.
        pull: (B, P) int64 indices of the embeddings to move towards; P is 0 where none are.
        pull_weight: (B, P) float.
        lone: (B,) bool, whether the query is the only one of its identity.
    """

    bank: Tensor
    push: Tensor
    push_weight: Tensor
    pull: Tensor
    pull_weight: Tensor
    lone: Tensor

    def __len__(self) -> int:
        """Return the number of queries."""
        return len(self.lone)

    def __getitem__(self, rows: Rows) -> "Guides":
        """Return the guides of some queries: a slice, integer indices or a boolean mask."""
        if isinstance(rows, int | np.integer):
            raise BenchboxError(f"guides[{rows}]: select a batch, such as guides[{rows}:{rows}+1]")
        index = rows if isinstance(rows, slice) else torch.as_tensor(rows, device=self.lone.device)
        if isinstance(index, Tensor) and index.numel() == 0:
            index = index.to(torch.int64)  # an empty list arrives as float
        return replace(
            self,
            push=self.push[index],
            push_weight=self.push_weight[index],
            pull=self.pull[index],
            pull_weight=self.pull_weight[index],
            lone=self.lone[index],
        )

    def to(self, device: torch.device | str) -> "Guides":
        """Return the same guides on ``device``."""
        names = ("bank", "push", "push_weight", "pull", "pull_weight", "lone")
        return Guides(**{name: getattr(self, name).to(device) for name in names})


@dataclass(frozen=True, slots=True, eq=False)
class Identities:
    """The N queries grouped by identity, identities in ascending order of pid.

    Attributes:
        of_query: (N,) index of each query's identity among the K identities.
        counts: (K,) queries per identity.
        members: (K, L) query indices per identity in query order; L is the largest count.
        filled: (K, L) bool, which entries of ``members`` are real.
        order: (N,) the queries sorted by identity.
    """

    of_query: Tensor
    counts: Tensor
    members: Tensor
    filled: Tensor
    order: Tensor

    @classmethod
    def of(cls, pids: Tensor) -> "Identities":
        """Group (N,) pids; one host synchronisation and no loop, so it also suits a batch."""
        _, of_query, counts = torch.unique(pids, return_inverse=True, return_counts=True)
        order = of_query.argsort(stable=True)
        slots = torch.arange(int(counts.max()), device=pids.device)
        filled = slots < counts[:, None]
        first = counts.cumsum(0) - counts
        members = order[(first[:, None] + slots).clamp(max=len(order) - 1)]
        return cls(of_query, counts, members, filled, order)

    def centroids(self, embeddings: Tensor) -> Tensor:
        """Return the (K, D) mean embedding of each identity."""
        sums = torch.segment_reduce(embeddings[self.order], "sum", lengths=self.counts, axis=0)
        return sums / self.counts[:, None]


def as_queries(query_features: Any, query_pids: Any) -> tuple[Tensor, Tensor]:
    """Return embeddings (N, D) and pids (N,) as tensors on one device, checked.

    Half precision is widened to float32, as the evaluator widens it.

    Raises:
        BenchboxError: no queries, shapes that do not fit, or embeddings that are not finite.
    """
    embeddings = torch.as_tensor(query_features).detach()
    if embeddings.ndim != 2 or 0 in embeddings.shape or not embeddings.is_floating_point():
        raise BenchboxError(
            f"query_features: expected floats of shape (queries, dimensions), "
            f"got {embeddings.dtype} {tuple(embeddings.shape)}"
        )
    pids = torch.as_tensor(query_pids, device=embeddings.device)
    if pids.shape != embeddings.shape[:1] or pids.is_floating_point():
        raise BenchboxError(
            f"query_pids: expected {len(embeddings)} integers, one per row of query_features, "
            f"got {pids.dtype} {tuple(pids.shape)}"
        )
    bad = (~embeddings.isfinite().all(dim=1)).nonzero().flatten().tolist()
    if bad:
        raise BenchboxError(
            f"query_features: row {bad[0]} is not finite ({len(bad)} of {len(embeddings)} rows); "
            "check the model's weights"
        )
    return widened(embeddings), pids


def push_from(embeddings: Tensor, push: Tensor, weight: Tensor, lone: Tensor) -> Guides:
    """Return guides that only push; ``embeddings`` (N, D) become the bank."""
    nothing = push.new_empty(len(push), 0)
    return Guides(embeddings, push, weight, nothing, weight.new_empty(len(push), 0), lone)


def push_from_identity(embeddings: Tensor, identities: Identities, *, own: Own) -> Guides:
    """Return guides that push each query from its identity's query embeddings.

    Args:
        embeddings: (N, D) clean embeddings of all attacked queries.
        identities: of the same queries.
        own: ``"reference"`` as the reference implementation (Bouniot et al. 2020): all images of
            the identity, the query's own included, padded with copies of its own up to the size
            of the largest identity. ``"exclude"`` as Eq. 3 of Zhou et al. 2025 can also be read:
            the other images only; a lone query then has no push guide.
    """
    itself = torch.arange(len(embeddings), device=embeddings.device)[:, None]
    filled = identities.filled[identities.of_query]
    push = torch.where(filled, identities.members[identities.of_query], itself)
    counted = torch.ones_like(filled) if own == "reference" else push != itself
    lone = identities.counts[identities.of_query] == 1
    return push_from(embeddings, push, counted.to(embeddings.dtype), lone)
