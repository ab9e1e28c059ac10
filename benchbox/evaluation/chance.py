"""What a random order of the gallery gets: the mAP that a model has to be better than.

Let a query have M matches among the N gallery items that are ranked (junk left out), in an order
drawn uniformly. Rank r holds a match with probability M/N, and then each of the r − 1 items before
it is one with probability (M − 1)/(N − 1). With H_N = 1 + 1/2 + … + 1/N, the mean over all orders
of the two terms of average precision (see `average_precision`) is

    of i / r_i:                ( H_N + (N − H_N) (M − 1)/(N − 1) ) / N
    of (i − 1) / (r_i − 1):    M / N

The step form's is the first, the trapezoid's the mean of both.
"""

from collections import Counter

import numpy as np

from benchbox.data.protocol import JUNK_PID, ReidDataset
from benchbox.evaluation.average_precision import ApConvention, Floats
from benchbox.evaluation.ranking import Ints
from benchbox.evaluation.valid_matches import people_and_cameras, valid_matches

_MOST_ABOVE = 5.0
_SMALLEST = 1.0


def chance_ap(matches: Ints, ranked: Ints, *, ap: ApConvention) -> Floats:
    """Return the mean average precision of each query over all orders of its gallery, in [0, 1].

    Args:
        matches: (Q,) how many correct items each query has, from 1.
        ranked: (Q,) how many items are ranked for it: the gallery without the query's junk.
        ap: the convention of average precision.
    """
    harmonic = np.cumsum(1 / np.arange(1, ranked.max() + 1))[ranked - 1]
    others = np.maximum(ranked - 1, 1)  # with one item ranked there is no other to be a match
    step = (harmonic + (ranked - harmonic) * (matches - 1) / others) / ranked
    found: Floats = step if ap == "step" else (step + matches / ranked) / 2
    return found


def is_near_chance(mean_ap: float, chance: float) -> bool:
    """Return whether a clean mAP is near that of a random ranking: both in percent.

    Near is below twice chance, or less than 5 points above it where chance is above 5 (a gallery
    of few people); one point more, by which small galleries move.
    """
    return mean_ap < chance + min(chance, _MOST_ABOVE) + _SMALLEST


def chance_map(dataset: ReidDataset, *, ap: ApConvention) -> float | None:
    """Return the mAP of a random ranking of a dataset's gallery, in [0, 1].

    As in `evaluate_retrieval`, gallery images of the query's person and camera are junk, and
    queries without a match do not count. None where no query has one.
    """
    query, gallery = people_and_cameras(dataset)
    gallery = [item for item in gallery if item[0] != JUNK_PID]
    by_camera = Counter(gallery)
    own = np.array([by_camera[item] for item in query], dtype=np.int64)
    matches = np.array(valid_matches(query, gallery), dtype=np.int64)
    ranked = len(gallery) - own
    valid = matches > 0
    if not valid.any():
        return None
    return float(chance_ap(matches[valid], ranked[valid], ap=ap).mean())
