"""From average precision per query to an entry's numbers: means, intervals, worst case, spread."""

import math
import statistics
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from benchbox.leaderboard.board_protocol import Protocol
from benchbox.leaderboard.entry.numbers import (
    IdentityScores,
    Interval,
    Mean,
    Spread,
    WorstCase,
    WorstSeed,
)
from benchbox.results.conditions import Condition
from benchbox.statistics.bootstrap import interval
from benchbox.statistics.fairness import spread
from benchbox.statistics.interval_over_seeds import interval_over_seeds

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def mean_of(values: Sequence[float]) -> Mean:
    """Return mean and sample standard deviation (n − 1) of one number per seed, in percent."""
    return Mean(mean=statistics.fmean(values), std=deviation(values))


def deviation(values: Sequence[float]) -> float | None:
    """Return the sample standard deviation (n − 1), None where there is one value."""
    return statistics.stdev(values) if len(values) > 1 else None


def interval_of(ap: Floats, pids: Ints) -> Interval:
    """Return mAP over seeds with its 95% intervals over identities and over seeds, in percent.

    A query's AP is averaged over the seeds before identities are resampled: that interval says
    how far other people would move the number, the one over seeds how far other trainings would.

    Args:
        ap: (S, Q) average precision in 0–1.
        pids: (Q,) identities of the queries.
    """
    by_seed = [100 * float(row.mean()) for row in ap]
    low, high = interval(100 * ap.mean(0), pids)
    mean = mean_of(by_seed)
    seeds_low, seeds_high = interval_over_seeds(by_seed) or (None, None)
    return Interval(
        mean=mean.mean,
        std=mean.std,
        low=max(0.0, low),
        high=min(100.0, high),
        seeds_low=seeds_low,
        seeds_high=seeds_high,
    )


def worst_cases(
    protocol: Protocol, ap: Mapping[Condition, Floats], pids: Ints
) -> tuple[WorstCase, ...]:
    """Return the worst case at each budget of a protocol.

    Args:
        protocol: says which budgets and seeds there are.
        ap: condition → (S, Q) AP in 0–1.
        pids: (Q,) identities of the queries.
    """
    return tuple(
        worst_case(
            [of for c, of in ap.items() if not c.is_clean and c.eps_255 == eps],
            pids,
            protocol.seeds,
            eps_255=eps,
        )
        for eps in protocol.budgets_255
    )


def worst_case(
    by_attack: Sequence[Floats], pids: Ints, seeds: Sequence[int], *, eps_255: float
) -> WorstCase:
    """Return the mAP of each query's worst attack at one budget.

    An attacker who may try every attack on every query leaves ``mean_q min_a AP(q, a)``, which
    is at most the smallest mAP of a single attack.

    Args:
        by_attack: one (S, Q) array of AP in 0–1 per attack.
        pids: (Q,) identities of the queries.
        seeds: (S,) the seed of each row.
        eps_255: the budget in units of 1/255.
    """
    lowest = np.min(np.stack(by_attack), axis=0)
    return WorstCase(
        eps_255=eps_255,
        seeds=tuple(
            WorstSeed(seed=seed, mAP=100 * float(row.mean()))
            for seed, row in zip(seeds, lowest, strict=True)
        ),
        mAP=interval_of(lowest, pids),
    )


def identities_of(
    pids: Ints,
    matches: Ints,
    ap: Mapping[Condition, Floats],
    *,
    kept: Sequence[Condition],
) -> IdentityScores:
    """Return AP by identity: averaged over seeds and an identity's queries.

    Args:
        pids: (Q,) whom each query shows.
        matches: (Q,) how many valid matches each query has.
        ap: condition → (S, Q) AP in 0–1.
        kept: the conditions of which every identity's AP is kept, not the spread alone.
    """
    names, place, counts = np.unique(pids, return_inverse=True, return_counts=True)
    most = np.zeros(len(names), dtype=np.int64)
    np.maximum.at(most, place, matches)
    spreads = []
    for condition, by_seed in ap.items():
        sums = np.bincount(place, weights=by_seed.mean(0), minlength=len(names))
        # Rounding in a mean of ones must not give more than one.
        values = [min(1.0, float(value)) for value in sums / counts]
        spreads.append(spread_of(condition, values, keep=condition in kept))
    return IdentityScores(
        pids=tuple(names.tolist()),
        queries=tuple(counts.tolist()),
        matches=tuple(most.tolist()),
        spreads=tuple(spreads),
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
