"""How far the mean over seeds would move with other seeds: Student's interval."""

import math
import statistics
from collections.abc import Sequence

from scipy.special import stdtrit


def interval_over_seeds(
    values: Sequence[float], *, confidence: float = 0.95
) -> tuple[float, float] | None:
    """Return Student's t interval of the mean of one percentage per seed; None with one seed.

    ``mean ± t(n − 1) s / √n``, clipped to [0, 100]. With two seeds t is 12.7, so that the interval
    is wide: two trainings say little about how a third would turn out.

    Args:
        values: (n,) in percent, one per seed.
        confidence: probability that the interval is to hold, in (0, 1).
    """
    n = len(values)
    if n < 2:
        return None
    mean = statistics.fmean(values)
    quantile = float(stdtrit(n - 1, (1 + confidence) / 2))
    reach = quantile * statistics.stdev(values) / math.sqrt(n)
    return max(0.0, mean - reach), min(100.0, mean + reach)
