"""Queries under several attacks, each counting as the attack that hurts it most leaves it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchbox.evaluation.average_precision import Floats
from benchbox.evaluation.ranking import Ints


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """How queries retrieve.

    Attributes:
        ap: (Q,) AP of each, 0–1; NaN where it has no valid match.
        first_hit: (Q,) rank of the first match, from 1; 0 where it has none.
        inp: (Q,) how many matches it has over the rank of the last one, 0–1; NaN where none.
    """

    ap: Floats
    first_hit: Ints
    inp: Floats

    @property
    def valid(self) -> npt.NDArray[np.bool_]:
        """(Q,) whether a query has a match and so counts."""
        return self.first_hit > 0

    @property
    def mAP(self) -> float:  # noqa: N802  the field's own name
        """The mean over the queries with a match, 0–1."""
        return float(self.ap[self.valid].mean())

    @property
    def mINP(self) -> float:  # noqa: N802  likewise
        """The mean of `inp` over the queries with a match, 0–1."""
        return float(self.inp[self.valid].mean())

    def rank(self, k: int) -> float:
        """Return the share of the queries with a match that have one at rank ``k`` or better."""
        return float((self.first_hit[self.valid] <= k).mean())


def lowest_of(found: Sequence[Scored]) -> tuple[Scored, Ints]:
    """Return each query's lowest AP and, apart, deepest first match and lowest INP over attacks.

    Args:
        found: under each attack, the same queries in the same order.

    Returns:
        The worst of each query, and (Q,) which attack left the lowest AP: the first of equals.
    """
    ap = np.stack([scored.ap for scored in found])
    deepest = np.stack([scored.first_hit for scored in found]).max(axis=0)
    inp = np.stack([scored.inp for scored in found]).min(axis=0)
    # A query without a match has no AP under any attack.
    first = np.where(np.isnan(ap), np.inf, ap).argmin(axis=0)
    return Scored(ap[first, np.arange(ap.shape[1])], deepest, inp), first
