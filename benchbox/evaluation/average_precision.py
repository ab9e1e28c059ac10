"""Average precision in the two conventions of the field.

With the correct matches of a query at ranks r_1 < … < r_M (junk left out), its average precision
is the mean over i = 1 … M of

    step:       i / r_i
    trapezoid:  (i / r_i + (i - 1) / (r_i - 1)) / 2,    the second term being 1 where r_i = 1

The trapezoid is the official Market-1501 evaluation: precision is averaged over the hit's two
sides (Zheng et al., Scalable Person Re-identification: A Benchmark, ICCV 2015; its code). The step
form is torchreid's and fast-reid's. Hits at ranks 1, 2, 4, 7 give 0.8110 and 0.8304.
"""

from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from benchbox.evaluation.ranking import (
    Ints,
    places_within,
)

Floats: TypeAlias = npt.NDArray[np.float64]


ApConvention = Literal["trapezoid", "step"]


def average_precision(ranks: Ints, counts: Ints, *, ap: ApConvention) -> Floats:
    """Return each query's average precision, NaN where it has no match.

    Args:
        ranks: the ranks of all matches, from 1, query after query, ascending within each.
        counts: (Q,) matches of each query.
        ap: the convention, see the head of this file.
    """
    rank = ranks.astype(np.float64)
    hit = places_within(counts) + 1
    precision = hit / rank
    if ap == "trapezoid":
        before = np.where(rank > 1, (hit - 1) / np.maximum(rank - 1, 1), 1.0)
        precision = (precision + before) / 2
    query = np.repeat(np.arange(len(counts)), counts)
    total = np.bincount(query, weights=precision, minlength=len(counts))
    mean = np.full(len(counts), np.nan)
    np.divide(total, counts, out=mean, where=counts > 0)
    return mean


def ap_and_first_hit(
    ranks: Ints, query: Ints, counts: Ints, *, ap: ApConvention
) -> tuple[Floats, Ints]:
    """Return each query's AP and the rank of its first match; NaN and 0 where it has none.

    Args:
        ranks: (N,) the ranks of all matches, from 1, query after query.
        query: (N,) whose match each is, ascending.
        counts: (Q,) matches of each query.
        ap: the convention, see the head of this file.
    """
    ranks = ranks[np.lexsort((ranks, query))]
    first_hit = np.zeros(len(counts), dtype=np.int64)
    first_hit[counts > 0] = ranks[places_within(counts) == 0]
    return average_precision(ranks, counts, ap=ap), first_hit
