"""Axes of a site's figures: round values, and where they stand in SVG's coordinates."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor


@dataclass(frozen=True)
class Tick:
    """A mark of an axis: where it stands and what it says."""

    at: float
    text: str


@dataclass(frozen=True)
class Axis:
    """A linear axis from ``low`` to ``high``, drawn from ``start`` to ``end``."""

    low: float
    high: float
    start: float
    end: float
    step: float

    def at(self, value: float) -> float:
        """Return the coordinate of a value; values beyond the axis stand at its end."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + min(max(share, 0.0), 1.0) * (self.end - self.start), 1)

    @property
    def ticks(self) -> tuple[Tick, ...]:
        """The round values of the axis."""
        count = round((self.high - self.low) / self.step)
        values = [self.low + index * self.step for index in range(count + 1)]
        return tuple(Tick(self.at(value), f"{value:g}") for value in values)


def percent_axis(
    values: Sequence[float], *, start: float, end: float, lowest: float = 0.0, finest: float = 0.5
) -> Axis:
    """Return an axis with round ends around all percentages, from 0 or from near ``lowest``."""
    most = max([*values, lowest + 1.0])
    step = next(
        s for s in (0.5, 1, 2, 5, 10, 20) if s >= finest and (most - lowest <= 5 * s or s == 20)
    )
    low = max(0.0, step * floor((lowest - step / 4) / step))
    high = step * ceil((most + step / 10) / step)
    return Axis(low, high if high <= 100 or step == 0.5 else 100.0, start, end, step)
