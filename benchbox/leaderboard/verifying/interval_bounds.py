"""How wide an interval over identities can be, whatever their queries' AP.

A mean over queries is a ratio, and its variance over drawn identities is Σ nᵢ² (aᵢ − m)² / N²,
with nᵢ queries and mean aᵢ of an identity and N queries of mean m. That is at most n / N times the
queries' weighted variance, n the most queries of one identity; and the variance of numbers in
0–100 with mean m is at most m (100 − m) (Bhatia and Davis 2000).
"""

import math
from collections.abc import Iterator, Sequence

from benchbox.leaderboard.entry.numbers import ByIdentity, Interval, Result
from benchbox.results.per_query import ROUNDING
from benchbox.statistics.bootstrap import interval_of_identities

_OTHER_DRAWS = 0.2
"""Share of the half width that other draws, of another NumPy, may move an end by: with 2,000
resamples an end has a standard error of 0.06 standard errors, which is 0.03 half widths."""

_FARTHEST = 6.3
"""Standard errors that a 2.5% quantile can be off the mean (Cantelli: √(1 / 0.025 − 1) = 6.2)."""

_RESAMPLING = 1.0
"""Points that 2,000 resamples may move a quantile by, where the ratio is not quite linear."""


def largest_error(mean: float, queries: Sequence[int]) -> float:
    """Return the largest standard error a mean can have.

    Args:
        mean: in percent.
        queries: (I,) of each identity.
    """
    return math.sqrt(max(queries) / sum(queries) * max(mean * (100 - mean), 0.0))


def interval_faults(key: str, given: Interval, queries: Sequence[int]) -> Iterator[str]:
    """Yield if an interval is wider than its mean and the number of queries allow."""
    reach = _FARTHEST * largest_error(given.mean, queries) + _RESAMPLING
    if max(given.mean - given.low, given.high - given.mean) > reach:
        yield (
            f"{key}: the interval {given.low:.4f} to {given.high:.4f} is wider than "
            f"{len(queries)} identities allow ({reach:.2f} to a side)"
        )


def recomputed_faults(index: int, result: Result, identities: ByIdentity) -> Iterator[str]:
    """Yield if an interval is not the one that the AP of the identities give, where it is kept."""
    kept = identities.spreads[index].ap
    if kept is None or len(kept) != len(identities.queries):
        return
    low, high = interval_of_identities([100 * ap for ap in kept], identities.queries)
    ends = max(0.0, low), min(100.0, high)
    given = result.mAP.low, result.mAP.high
    allowed = _OTHER_DRAWS * (ends[1] - ends[0]) / 2 + ROUNDING
    if max(abs(a - b) for a, b in zip(given, ends, strict=True)) > allowed:
        yield (
            f"results[{index}].mAP: the interval {given[0]:.4f} to {given[1]:.4f}, its identities "
            f"give {ends[0]:.4f} to {ends[1]:.4f}"
        )
