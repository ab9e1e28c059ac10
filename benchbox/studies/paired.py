"""A difference of accuracies on the same images, with its 95% interval."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_Z = 1.959963984540054  # the normal distribution's 97.5% quantile


@dataclass(frozen=True, slots=True)
class Difference:
    """An accuracy after minus the one before, in [-1, 1].

    Attributes:
        value: the observed difference.
        low: lower end of the 95% interval.
        high: upper end of the 95% interval.
    """

    value: float
    low: float
    high: float

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0


def paired_difference(before: NDArray[np.bool_], after: NDArray[np.bool_]) -> Difference:
    """Return after − before with the interval of Bonett and Price (2012) over the test images.

    Two images are added, one gained and one lost, before the normal interval of a mean of paired
    differences is taken: with one seed p̂₁₂ = (n₁₂ + 1) / (N + 2) and p̂₂₁ = (n₂₁ + 1) / (N + 2),
    and the interval is p̂₁₂ − p̂₂₁ ± z √((p̂₁₂ + p̂₂₁ − (p̂₁₂ − p̂₂₁)²) / (N + 2)). Unlike McNemar's it
    keeps a width where no image changed. With several seeds an image's differences are averaged
    first (ours): images are the sample, the trained models are taken as given.

    Args:
        before: (seeds, N), is the image classified rightly?
        after: the same images after the change, same shape.
    """
    changes = (after.astype(float) - before.astype(float)).mean(0)
    padded = np.concatenate([changes, [1.0, -1.0]])
    middle = float(padded.mean())
    reach = _Z * float(np.sqrt(padded.var() / len(padded)))
    low, high = max(-1.0, middle - reach), min(1.0, middle + reach)
    return Difference(float(changes.mean()), low, high)
