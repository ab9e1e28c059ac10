"""Average precision in the two conventions of the field.

With the correct matches of a query at ranks r_1 < … < r_M (junk left out), its average precision
is the mean over i = 1 … M of

    step:       i / r_i
    trapezoid:  (i / r_i + (i - 1) / (r_i - 1)) / 2,    the second term being 1 where r_i = 1

The trapezoid is the official Market-1501 evaluation: precision is averaged over the hit's two
sides (Zheng et al., Scalable Person Re-identification: A Benchmark, ICCV 2015; its code). The step
form is torchreid's and fast-reid's. Hits at ranks 1, 2, 4, 7 give 0.8110 and 0.8304.
"""

from typing import Literal, NamedTuple, TypeAlias

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


class Hits(NamedTuple):
    """Where the matches of some queries stand.

    Attributes:
        ap: (Q,) AP of each, 0–1; NaN where it has no match.
        first: (Q,) rank of the first match, from 1; 0 where there is none.
        last: (Q,) rank of the last match, likewise.
    """

    ap: Floats
    first: Ints
    last: Ints


def hits_of(ranks: Ints, query: Ints, counts: Ints, *, ap: ApConvention) -> Hits:
    """Return each query's AP, and the ranks of its first and of its last match.

    Args:
        ranks: (N,) the ranks of all matches, from 1, query after query.
        query: (N,) whose match each is, ascending.
        counts: (Q,) matches of each query.
        ap: the convention, see the head of this file.
    """
    ranks = ranks[np.lexsort((ranks, query))]
    first, last = np.zeros((2, len(counts)), dtype=np.int64)
    ends = np.cumsum(counts)[counts > 0]
    last[counts > 0] = ranks[ends - 1]
    first[counts > 0] = ranks[ends - counts[counts > 0]]
    return Hits(average_precision(ranks, counts, ap=ap), first, last)


def inverse_negative_penalty(counts: Ints, last: Ints) -> Floats:
    """Return each query's inverse negative penalty: its matches over the rank of the last one.

    With |G| matches, the last at rank R, it is 1 − NP = |G| / R: the share of correct items where
    the hardest match is found. Its mean over queries is mINP (Ye et al., Deep Learning for Person
    Re-identification: A Survey and Outlook, TPAMI 2021, Eq. 6 and 7).

    Args:
        counts: (Q,) matches of each query.
        last: (Q,) rank of the last of them, from 1; 0 where there is none, which gives NaN.
    """
    found = np.full(len(counts), np.nan)
    np.divide(counts, last, out=found, where=counts > 0)
    return found
