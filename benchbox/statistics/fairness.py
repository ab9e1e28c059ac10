"""How evenly a defense serves identities: mean, spread, worst decile and Gini of their AP."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

STATISTICS = ("Mean", "Std", "Worst 10%", "Gini")
"""The titles of the numbers that `spread` returns."""


def gini(values: ArrayLike) -> float:
    """Return the Gini coefficient of the values: 0 where all are alike, towards 1 for few haves.

    ``G = Σ_ij |x_i − x_j| / (2 n² x̄)``, computed from the sorted values as
    ``Σ_i (2i − n − 1) x_(i) / (n Σ x)``, which is the same number in O(n log n).

    Args:
        values: (N,), not negative.

    Returns:
        a number in [0, 1 − 1/n]; NaN where the mean is 0, since the coefficient is undefined.

    Raises:
        ValueError: there is no value, or one is negative or not finite.
    """
    numbers = np.sort(_numbers(values))
    if numbers[0] < 0:
        raise ValueError(f"the Gini coefficient needs values of at least 0, got {numbers[0]}")
    if numbers[-1] == 0:
        return math.nan
    # Divided by the largest first, so that tiny values do not underflow.
    shares = numbers / numbers[-1]
    n = len(shares)
    weights = 2 * np.arange(1, n + 1) - n - 1
    # Equal values may sum to −1e-17, which would be printed as -0.000.
    return max(0.0, float(weights @ shares / (n * shares.sum())))


def worst_decile(values: ArrayLike) -> float:
    """Return the mean over the ⌈n/10⌉ lowest values.

    Args:
        values: (N,).

    Raises:
        ValueError: there is no value, or one is not finite.
    """
    numbers = np.sort(_numbers(values))
    return float(numbers[: -(-len(numbers) // 10)].mean())


def spread(ap: ArrayLike) -> tuple[float, float, float, float]:
    """Return mean, sample standard deviation (n − 1) and worst decile in %, and Gini in 0–1.

    Args:
        ap: (N,) average precision per identity in 0–1.

    Returns:
        the numbers under :data:`STATISTICS`; NaN where one is undefined: the deviation of a
        single identity, the Gini coefficient of a zero mean.
    """
    numbers = _numbers(ap)
    deviation = float(numbers.std(ddof=1)) if len(numbers) > 1 else math.nan
    return (
        100 * float(numbers.mean()),
        100 * deviation,
        100 * worst_decile(numbers),
        gini(numbers),
    )


def _numbers(values: ArrayLike) -> NDArray[np.float64]:
    numbers = np.asarray(values, dtype=np.float64).reshape(-1)
    if not len(numbers) or not np.isfinite(numbers).all():
        raise ValueError("expected at least one value, all of them finite")
    return numbers
