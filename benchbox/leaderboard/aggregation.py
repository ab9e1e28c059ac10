"""From average precision per query to an entry's numbers: means, intervals, worst case, spread."""

import math
import statistics
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from benchbox.leaderboard.bootstrap import interval
from benchbox.leaderboard.entry_numbers import (
    Identities,
    Interval,
    Mean,
    Spread,
    WorstCase,
    WorstSeed,
)
from benchbox.reports.conditions import Condition
from benchbox.reports.fairness import spread

Floats = NDArray[np.float64]


def mean_of(values: Sequence[float]) -> Mean:
    """Return mean and sample standard deviation (n − 1) of one number per seed, in percent."""
    return Mean(mean=statistics.fmean(values), std=deviation(values))


def deviation(values: Sequence[float]) -> float | None:
    """Return the sample standard deviation (n − 1), None where there is one value."""
    return statistics.stdev(values) if len(values) > 1 else None


def interval_of(ap: Floats) -> Interval:
    """Return mAP over seeds with its 95% bootstrap interval over queries, in percent.

    A query's AP is averaged over the seeds before queries are resampled: the interval says how
    far other queries would move the number, the deviation how far other seeds would.

    Args:
        ap: (S, Q) average precision in 0–1.
    """
    by_seed = [100 * float(row.mean()) for row in ap]
    low, high = interval(100 * ap.mean(0))
    mean = mean_of(by_seed)
    return Interval(mean=mean.mean, std=mean.std, low=max(0.0, low), high=min(100.0, high))


def worst_case(by_attack: Sequence[Floats], seeds: Sequence[int], *, eps_255: float) -> WorstCase:
    """Return the mAP of each query's worst attack at one budget.

    An attacker who may try every attack on every query leaves ``mean_q min_a AP(q, a)``, which
    is at most the smallest mAP of a single attack.

    Args:
        by_attack: one (S, Q) array of AP in 0–1 per attack.
        seeds: (S,) which they are.
        eps_255: the budget.
    """
    lowest = np.min(np.stack(by_attack), axis=0)
    return WorstCase(
        eps_255=eps_255,
        seeds=tuple(
            WorstSeed(seed=seed, mAP=100 * float(row.mean()))
            for seed, row in zip(seeds, lowest, strict=True)
        ),
        mAP=interval_of(lowest),
    )


def identities_of(
    pids: NDArray[np.int64], ap: Mapping[Condition, Floats], *, kept: Sequence[Condition]
) -> Identities:
    """Return AP by identity: averaged over seeds and an identity's queries.

    Args:
        pids: (Q,) of the queries.
        ap: condition → (S, Q) AP in 0–1.
        kept: the conditions whose single values are kept.
    """
    names, place, counts = np.unique(pids, return_inverse=True, return_counts=True)
    spreads = []
    for condition, by_seed in ap.items():
        sums = np.bincount(place, weights=by_seed.mean(0), minlength=len(names))
        # Rounding in a mean of ones must not give more than one.
        values = [min(1.0, float(value)) for value in sums / counts]
        spreads.append(spread_of(condition, values, keep=condition in kept))
    return Identities(
        pids=tuple(names.tolist()), queries=tuple(counts.tolist()), spreads=tuple(spreads)
    )


def spread_of(condition: Condition, values: Sequence[float], *, keep: bool) -> Spread:
    """Return how evenly identities are served, from their AP in 0–1."""
    mean, std, worst, gini = (None if math.isnan(v) else v for v in spread(values))
    return Spread(
        attack=condition.attack,
        eps_255=condition.eps_255,
        mean=mean or 0.0,
        std=std,
        worst_decile=worst or 0.0,
        gini=gini,
        ap=tuple(values) if keep else None,
    )
