"""How far a mean over queries would move with other queries: the percentile bootstrap."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

RESAMPLES = 2_000
CONFIDENCE = 0.95
_SEED = 0
_CHUNK = 4_000_000  # indices drawn at a time: 32 MB


def resampled_means(
    values: ArrayLike, *, resamples: int = RESAMPLES, seed: int = _SEED
) -> NDArray[np.float64]:
    """Return the means of samples of the same size, drawn with replacement.

    The same seed draws the same queries for every condition, so that intervals of two conditions
    on one dataset are of the same resamples.

    Args:
        values: (Q,) one per query.
        resamples: how many samples.
        seed: of the draws.

    Returns:
        (resamples,) means.

    Raises:
        ValueError: there is no value, or one is not finite.
    """
    numbers = np.asarray(values, dtype=np.float64).reshape(-1)
    if not len(numbers) or not np.isfinite(numbers).all():
        raise ValueError("expected at least one value, all of them finite")
    draw = np.random.default_rng(seed)
    rows = max(1, _CHUNK // len(numbers))
    means = [
        numbers[draw.integers(0, len(numbers), (min(rows, resamples - start), len(numbers)))].mean(
            1
        )
        for start in range(0, resamples, rows)
    ]
    return np.concatenate(means)


def interval(
    values: ArrayLike,
    *,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = _SEED,
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of the mean (Efron 1979).

    Its ends are the (1 − confidence)/2 and (1 + confidence)/2 quantiles of the resampled means,
    linearly interpolated.

    Args:
        values: (Q,) one per query.
        confidence: in (0, 1).
        resamples: how many samples.
        seed: of the draws.

    Raises:
        ValueError: there is no value, or one is not finite.
    """
    means = resampled_means(values, resamples=resamples, seed=seed)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
