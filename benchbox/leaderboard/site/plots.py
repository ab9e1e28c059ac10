"""Where the marks of a site's figures stand; the templates draw them as inline SVG.

Coordinates are SVG's (y grows downwards), rounded, so that the same entries give the same page.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import Literal

from benchbox.leaderboard.entry.record import Status
from benchbox.leaderboard.site.labels import Edges, Place, label_places

MOST_LABELS = 30
"""Of a trade-off plot."""

_LONGEST_LABEL = 26
_EDGES = Edges(left=52, top=2, right=640, bottom=300)
_MOST_BARS = 24


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


@dataclass(frozen=True)
class Point:
    """An entry in the trade-off plot.

    Attributes:
        x: coordinate, likewise ``y``.
        label: beside it; shortened.
        at: where that stands; None where there are too many.
        says: the numbers in words.
        status: chooses the marker.
    """

    x: float
    y: float
    label: str
    at: Place | None
    says: str
    status: Status


@dataclass(frozen=True)
class TradeOff:
    """Clean against worst-case mAP."""

    x: Axis
    y: Axis
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Bar:
    """A number of a check.

    Attributes:
        kind: the protocol's own attack, a level to compare with, or what the check found.
        label: its name in words.
        length: 0–100.
        value: as text.
    """

    kind: Literal["own", "level", "found"]
    label: str
    length: float
    value: str


@dataclass(frozen=True)
class IdentityPlot:
    """AP of every identity, the clean ones in falling order.

    Attributes:
        x: identities.
        y: AP in percent.
        clean: path of a line.
        attacked: path of dots, one an identity.
        attack: what the dots are.
    """

    x: Axis
    y: Axis
    clean: str
    attacked: str
    attack: str


def trade_off(marks: Sequence[tuple[str, Status, float, float]]) -> TradeOff:
    """Return the plot of ``(title, status, clean mAP, worst-case mAP)``, in percent.

    The first `MOST_LABELS` have a label: more are not read, and take minutes to lay out.
    """
    clean_values = [clean for *_, clean, _ in marks]
    x = _axis(clean_values, start=52, end=620, lowest=min(clean_values), finest=2)
    y = _axis([worst for *_, worst in marks], start=300, end=16)
    spots = [(x.at(clean), y.at(worst)) for *_, clean, worst in marks]
    labels = [_shortened(title) for title, *_ in marks]
    places = label_places(spots[:MOST_LABELS], labels[:MOST_LABELS], edges=_EDGES)
    points = []
    unlabelled = [None] * (len(marks) - len(places))
    for mark, spot, label, at in zip(marks, spots, labels, [*places, *unlabelled], strict=True):
        title, status, clean, worst = mark
        says = f"{title}: clean {clean:.2f}, worst case {worst:.2f} mAP ({status})"
        points.append(Point(*spot, label, at, says, status))
    return TradeOff(x, y, tuple(points))


def bars(numbers: Mapping[str, float], words: Mapping[str, str]) -> tuple[Bar, ...]:
    """Return the numbers of a check as bars, the longest 100 units.

    Where some are mAP (or its chance level) only these are drawn: numbers of another kind do not
    belong on their axis.

    Args:
        numbers: from an entry, thus any finite ones.
        words: key → what it is called.
    """
    drawn = {key: value for key, value in numbers.items() if _is_map(key)} or dict(numbers)
    most = max((abs(value) for value in drawn.values()), default=0.0) or 1.0
    return tuple(
        Bar(_kind(key), words.get(key, key), round(100 * max(value / most, 0.0), 2), f"{value:.4g}")
        for key, value in list(drawn.items())[:_MOST_BARS]
    )


def identity_plot(clean: Sequence[float], attacked: Sequence[float], attack: str) -> IdentityPlot:
    """Return the plot of AP by identity.

    Args:
        clean: (I,) in 0–1.
        attacked: (I,) of the same identities.
        attack: what they were attacked with.
    """
    order = sorted(range(len(clean)), key=lambda index: (-clean[index], -attacked[index], index))
    most = len(order)
    x = Axis(1, max(most, 2), 52, 620, max(max(most, 2) - 1, 1))
    y = Axis(0, 100, 220, 16, 25)
    first = [(x.at(place), y.at(100 * clean[i])) for place, i in enumerate(order, start=1)]
    second = [(x.at(place), y.at(100 * attacked[i])) for place, i in enumerate(order, start=1)]
    line = "M" + " L".join(f"{a:g} {b:g}" for a, b in first)
    return IdentityPlot(x, y, line, "".join(f"M{a:g} {b:g}h0" for a, b in second), attack)


def has_map(numbers: Mapping[str, float]) -> bool:
    """Whether a check measured mAP, which its bars then show."""
    return any(map(_is_map, numbers))


def _shortened(title: str) -> str:
    return title if len(title) <= _LONGEST_LABEL else f"{title[: _LONGEST_LABEL - 1]}…"


def _is_map(key: str) -> bool:
    return key == "map" or key.startswith("map_") or key in ("chance", "allowed")


def _kind(key: str) -> Literal["own", "level", "found"]:
    if key == "map":
        return "own"
    return "level" if key in ("chance", "allowed", "queries") else "found"


def _axis(
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
