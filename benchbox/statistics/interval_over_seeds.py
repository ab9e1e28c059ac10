"""How far the mean over seeds would move with other seeds: Student's interval."""

import math
import statistics
from collections.abc import Sequence

_BISECTIONS = 80
"""Halvings of (0, π/2): past what a float resolves."""


def interval_over_seeds(
    values: Sequence[float], *, confidence: float = 0.95
) -> tuple[float, float] | None:
    """Return Student's t interval of the mean of one percentage per seed; None with one seed.

    ``mean ± t(n − 1) s / √n``, clipped to [0, 100]. With two seeds t is 12.7, so that the interval
    is wide: two trainings say little about how a third would turn out.

    Args:
        values: (n,) in percent, one per seed.
        confidence: in (0, 1).
    """
    n = len(values)
    if n < 2:
        return None
    mean = statistics.fmean(values)
    reach = t_quantile(confidence, n - 1) * statistics.stdev(values) / math.sqrt(n)
    return max(0.0, mean - reach), min(100.0, mean + reach)


def t_quantile(confidence: float, degrees: int) -> float:
    """Return the t with ``P(|T| ≤ t) = confidence`` for Student's t with whole degrees of freedom.

    Bisects the closed form of Abramowitz and Stegun, Handbook of Mathematical Functions,
    26.7.3 and 26.7.4.

    Args:
        confidence: in (0, 1).
        degrees: of freedom, from 1.
    """
    low, high = 0.0, math.pi / 2
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if _within(middle, degrees) < confidence:
            low = middle
        else:
            high = middle
    return math.sqrt(degrees) * math.tan(low)


def _within(angle: float, degrees: int) -> float:
    """Return ``P(|T| ≤ √degrees · tan(angle))``."""
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = degrees % 2
    # Odd: cos + 2/3 cos³ + 2·4/(3·5) cos⁵ + …; even: 1 + 1/2 cos² + 1·3/(2·4) cos⁴ + …
    term = cosine if odd else 1.0
    total = 0.0
    for k in range(1 + odd, degrees, 2):
        total += term
        term *= k / (k + 1) * cosine**2
    return 2 / math.pi * (angle + sine * total) if odd else sine * total
