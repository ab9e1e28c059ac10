"""Between which bounds mAP lies, given the share of queries with a match among the first ranks.

Of a query with m matches whose first hit is at rank r, the k-th hit is at rank r + k − 1 or later.
Each hit's term in AP falls with its rank, so that AP is at most

    step:       (1/m) Σ_k k / (r + k − 1)
    trapezoid:  (1/m) Σ_k (k / (r + k − 1) + (k − 1) / (r + k − 2)) / 2,

with 1 for the term of a hit at rank 1. Its terms rise with k, so that the bound rises with m. The
first hit's term alone leaves at least 1 / (r m) (step), or 1 / (2 r m) where r > 1 (trapezoid),
which falls with m. Of first hits it is only known between which ranks they lie (1, 2–5, 6–10,
11 and up): the upper bound takes the first of these ranks, the lower the last.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from benchbox.evaluation.average_precision import ApConvention

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_RANKS: tuple[tuple[int, int | None], ...] = ((1, 1), (2, 5), (6, 10), (11, None))


def highest_ap(first_hit: int, most: int, *, ap: ApConvention) -> Floats:
    """Return (most,) the highest AP of a query with 1 … most matches, in 0–1, rising.

    Args:
        first_hit: rank of its first match, from 1.
        most: matches.
        ap: the convention.
    """
    hit = np.arange(1, most + 1, dtype=np.float64)
    rank = first_hit + hit - 1
    terms = hit / rank
    if ap == "trapezoid":
        before = np.where(rank > 1, (hit - 1) / np.maximum(rank - 1, 1), 1.0)
        terms = (terms + before) / 2
    highest: Floats = np.cumsum(terms) / hit
    return highest


def lowest_ap(first_hit: int | None, most: int, *, ap: ApConvention) -> Floats:
    """Return (most,) what AP of a query with 1 … most matches is at least, in 0–1, falling.

    Args:
        first_hit: rank of its first match, from 1; None where it may be any.
        most: matches.
        ap: the convention.
    """
    if first_hit is None:
        return np.zeros(most)
    first = 1 / first_hit if ap == "step" or first_hit == 1 else 1 / (2 * first_hit)
    return first / np.arange(1, most + 1)


def map_bounds(
    hits: Mapping[int, int], queries: Ints, matches: Ints, *, ap: ApConvention
) -> tuple[float, float]:
    """Return what mAP is at least and at most, in percent.

    Which queries have the early hits is not known: each group of queries is given the matches
    that are best for the bound.

    Args:
        hits: K (1, 5 and 10) → how many queries have a match at rank K or better.
        queries: (I,) queries of each identity.
        matches: (I,) the most matches that a query of the identity has.
        ap: the convention.
    """
    total, most = int(queries.sum()), int(matches.max())
    order = np.argsort(-matches, kind="stable")
    queries, matches = queries[order], matches[order]
    low = high = 0.0
    before = 0
    for first, last in _RANKS:
        upto = hits[last] if last is not None else total
        # Both bounds take the queries with the most matches.
        earlier = np.cumsum(queries) - queries
        taken = np.clip(upto - before - earlier, 0, queries)
        high += float(taken @ highest_ap(first, most, ap=ap)[matches - 1])
        low += float(taken @ lowest_ap(last, most, ap=ap)[matches - 1])
        before = upto
    return 100 * low / total, 100 * high / total
