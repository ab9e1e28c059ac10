"""Confidence bounds of paired differences: identities resampled together, retraining added."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchbox.statistics.by_identity import by_identity

_Floats = NDArray[np.float64]

MIN_DRAWS = 20_000
MAX_DRAWS = 200_000
_BEYOND = 20
"""Draws expected beyond a bound, so that the bound itself is steady.

With `MAX_DRAWS` there may be fewer; a bound still holds its level on average, down to one."""

_AT_ONCE = 2_000_000
"""Numbers held at once, in each of a few arrays."""


@dataclass(frozen=True)
class Bounds:
    """One-sided confidence bounds, (N,) each, in the unit of the differences."""

    lower: _Floats
    upper: _Floats


def draws_for(level: float) -> int:
    """Return how many draws a one-sided bound at an error rate of ``level`` takes."""
    return int(np.clip(np.ceil(_BEYOND / level), MIN_DRAWS, MAX_DRAWS))


def paired_bounds(
    differences: _Floats,
    identities: NDArray[np.int64],
    spread: _Floats,
    *,
    degrees: float,
    level: float,
    draws: int,
    seed: int,
) -> Bounds:
    """Return bounds of the mean difference of every cell, each one-sided at ``level``.

    Queries of one person share clothes and cameras, so their differences are not independent (in
    the demo's setting the variance of the mean is 1.3 times that of independent queries, up to
    2.1). A draw therefore takes K identities with replacement, the same for all cells, and the
    mean over their queries; its deviation times √(K / χ²), with χ² drawn at K − 1 degrees of
    freedom, is Student's t where the identities' sums are normal: percentiles alone are too narrow
    with few identities. ``spread`` times another Student's t is added. The upper bound is the k-th
    largest draw with k = ⌊level (draws + 1)⌋ (at least 1).

    Args:
        differences: (Q, N), new − old per query and cell.
        identities: (Q,), whom a query shows; of two persons at least.
        spread: (N,), standard deviation of the mean difference that retraining brings.
        degrees: degrees of freedom of ``spread``.
        level: probability that a bound is on the wrong side of the true difference.
        draws: how many.
        seed: the same one gives the same bounds.
    """
    means = differences.mean(0)
    sums, sizes = (part.astype(np.float32) for part in by_identity(differences - means, identities))
    count, cells = sums.shape
    beyond = max(1, int(level * (draws + 1)))
    rng = np.random.default_rng(seed)
    noise = rng.standard_t(degrees, draws).astype(np.float32)
    wider = np.sqrt(count / rng.chisquare(count - 1, draws)).astype(np.float32)
    width = np.asarray(spread, dtype=np.float32)
    low = np.full((beyond, cells), np.inf, dtype=np.float32)
    high = -low
    rows = max(1, _AT_ONCE // max(count, cells))
    for start in range(0, draws, rows):
        size = min(rows, draws - start)
        part = slice(start, start + size)
        times = _resampling(rng, size, count)
        drawn = (times @ sums) * (wider[part] / (times @ sizes))[:, None]
        drawn += noise[part, None] * width
        low = np.partition(np.concatenate([low, drawn]), beyond - 1, axis=0)[:beyond]
        high = -np.partition(-np.concatenate([high, drawn]), beyond - 1, axis=0)[:beyond]
    return Bounds(means + low.max(0), means + high.min(0))


def _resampling(rng: np.random.Generator, size: int, count: int) -> NDArray[np.float32]:
    """Return (size, count): how often each identity is drawn."""
    drawn = rng.integers(0, count, (size, count)) + count * np.arange(size)[:, None]
    times = np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count)
    return times.astype(np.float32)
