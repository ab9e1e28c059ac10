"""How far a mean over queries would move with other people: the cluster bootstrap.

Queries of one identity succeed and fail together, so that they are no independent draws: an
interval of queries drawn singly is too narrow, on the rendered datasets by a third and more. Here
identities are drawn, each with all its queries (Davison and Hinkley, Bootstrap Methods and their
Application, 1997, section 3.8; Field and Welsh, JRSS B 69, 2007).
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from benchbox.statistics.by_identity import by_identity

RESAMPLES = 2_000
CONFIDENCE = 0.95
_SEED = 0
_CHUNK = 4_000_000  # indices drawn at a time: 32 MB


def resampled_means(
    values: ArrayLike, identities: ArrayLike, *, resamples: int = RESAMPLES, seed: int = _SEED
) -> NDArray[np.float64]:
    """Return the means over the queries of as many identities, drawn with replacement.

    A mean is the ratio of two sums over the drawn identities: of values and of queries. The same
    seed draws the same identities for every condition, so that intervals of two conditions on one
    dataset are of the same resamples.

    Args:
        values: (Q,) one per query.
        identities: (Q,) whose query each is.
        resamples: how many samples.
        seed: what the draws are seeded with.

    Returns:
        (resamples,) means.

    Raises:
        ValueError: there is no value, one is not finite, or there is not one identity for each.
    """
    numbers = np.asarray(values, dtype=np.float64).reshape(-1)
    pids = np.asarray(identities).reshape(-1)
    if not len(numbers) or not np.isfinite(numbers).all() or len(pids) != len(numbers):
        raise ValueError("expected at least one value, all of them finite, and as many identities")
    return _drawn_means(*by_identity(numbers, pids), resamples=resamples, seed=seed)


def _drawn_means(
    sums: NDArray[np.float64], counts: NDArray[np.int64], *, resamples: int, seed: int
) -> NDArray[np.float64]:
    draw = np.random.default_rng(seed)
    rows = max(1, _CHUNK // len(sums))
    means = []
    for start in range(0, resamples, rows):
        drawn = draw.integers(0, len(sums), (min(rows, resamples - start), len(sums)))
        means.append(sums[drawn].sum(1) / counts[drawn].sum(1))
    return np.concatenate(means)


def interval(
    values: ArrayLike,
    identities: ArrayLike,
    *,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = _SEED,
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of the mean (Efron 1979), identities drawn.

    Its ends are the (1 − confidence)/2 and (1 + confidence)/2 quantiles of the resampled means,
    linearly interpolated. One identity alone leaves no width.

    Args:
        values: (Q,) one per query.
        identities: (Q,) whose query each is.
        confidence: probability that the interval is to hold, in (0, 1).
        resamples: how many samples.
        seed: what the draws are seeded with.

    Raises:
        ValueError: as `resampled_means`.
    """
    means = resampled_means(values, identities, resamples=resamples, seed=seed)
    return _quantiles(means, confidence)


def interval_of_identities(means: ArrayLike, queries: ArrayLike) -> tuple[float, float]:
    """Return `interval` of queries of which only each identity's mean and number is known.

    Args:
        means: (I,) over an identity's queries; identities in ascending order.
        queries: (I,) how many it has.
    """
    counts = np.asarray(queries, dtype=np.int64)
    sums = np.asarray(means, dtype=np.float64) * counts
    return _quantiles(_drawn_means(sums, counts, resamples=RESAMPLES, seed=_SEED), CONFIDENCE)


def _quantiles(means: NDArray[np.float64], confidence: float) -> tuple[float, float]:
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
