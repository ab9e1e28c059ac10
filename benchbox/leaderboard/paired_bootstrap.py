"""Confidence bounds of paired differences: queries resampled together, retraining added."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_Floats = NDArray[np.float64]

MIN_DRAWS = 20_000
MAX_DRAWS = 200_000
_BEYOND = 20
"""Draws expected beyond a bound, so that the bound itself is steady."""

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
    spread: _Floats,
    *,
    degrees: float,
    level: float,
    draws: int,
    seed: int,
) -> Bounds:
    """Return bounds of the mean difference of every cell, each one-sided at ``level``.

    A draw is the mean of Q queries drawn with replacement, the same queries for all cells, plus
    ``spread`` times Student's t. Resampled means scatter √(1 − 1/Q) too little, which is undone.
    The upper bound is the k-th largest draw with k = ⌊level (draws + 1)⌋ (at least 1).

    Args:
        differences: (Q, N), new − old per query and cell.
        spread: (N,), standard deviation of the mean difference that retraining brings.
        degrees: of freedom of ``spread``.
        level: probability that a bound is on the wrong side of the true difference.
        draws: how many.
        seed: the same one gives the same bounds.
    """
    count, cells = differences.shape
    means = differences.mean(0)
    centred = ((differences - means) * np.sqrt(count / max(count - 1, 1))).astype(np.float32)
    beyond = max(1, int(level * (draws + 1)))
    rng = np.random.default_rng(seed)
    noise = rng.standard_t(degrees, draws).astype(np.float32)
    width = np.asarray(spread, dtype=np.float32)
    low = np.full((beyond, cells), np.inf, dtype=np.float32)
    high = -low
    rows = max(1, _AT_ONCE // max(count, cells))
    for start in range(0, draws, rows):
        size = min(rows, draws - start)
        drawn = _resampling(rng, size, count) @ centred
        drawn += noise[start : start + size, None] * width
        low = np.partition(np.concatenate([low, drawn]), beyond - 1, axis=0)[:beyond]
        high = -np.partition(-np.concatenate([high, drawn]), beyond - 1, axis=0)[:beyond]
    return Bounds(means + low.max(0), means + high.min(0))


def _resampling(rng: np.random.Generator, size: int, count: int) -> NDArray[np.float32]:
    """Return (size, count): how often each query is drawn, divided by their number."""
    drawn = rng.integers(0, count, (size, count)) + count * np.arange(size)[:, None]
    times = np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count)
    weights: NDArray[np.float32] = times.astype(np.float32) / np.float32(count)
    return weights
