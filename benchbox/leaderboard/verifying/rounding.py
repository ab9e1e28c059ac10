"""When two numbers of an entry are the same."""

import math

from benchbox.results.per_query import ROUNDING


def agree(a: float | None, b: float | None) -> bool:
    """Return whether two numbers differ by rounding alone; a missing one agrees with none."""
    if a is None or b is None:
        return a is b
    return math.isclose(a, b, rel_tol=0, abs_tol=ROUNDING)
