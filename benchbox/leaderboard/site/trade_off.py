"""The trade-off plot of a block: clean against attacked mAP, its points numbered by rank.

Names stand in the table beside it. Where numbers would cover each other or another point's marker,
one label has them all: ranks go by the vertical axis, so it reads from the highest point down.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from benchbox.leaderboard.entry.record import Status
from benchbox.leaderboard.site.axes import Axis, percent_axis

_RIGHT = 640.0
"""Where the picture ends."""

_MARKER = 5.0
"""Half the width of a point's marker."""

_ASIDE = 4.0
"""How far from the marker a label stands."""

_SPREAD = 40.0
"""Points further apart than this from left to right have their label above, not at one end."""

_DIGIT, _HALF_LINE = 6.5, 5.5
"""About how wide a digit is in the wider of the usual fonts, and half as high as a line."""

_LONGEST = 60
"""Characters of a label: more are not read, and would not fit beside their points."""

_BASELINE = 4.0
"""How far below its middle a line is written on."""


@dataclass(frozen=True)
class Mark:
    """What is plotted of an entry.

    Attributes:
        sign: what the table has in the column of ranks.
        title: the defense's.
        status: chooses the marker.
        clean: mAP without an attack, in percent.
        worst: the mAP that ranks it, in percent.
    """

    sign: str
    title: str
    status: Status
    clean: float
    worst: float


@dataclass(frozen=True)
class Point:
    """An entry in the plot.

    Attributes:
        x: how far to the right it stands, in SVG's units.
        y: how far down it stands.
        says: sign, name and numbers in words.
        status: chooses the marker.
    """

    x: float
    y: float
    says: str
    status: Status


@dataclass(frozen=True)
class Label:
    """The signs of one point, or of several that lie close together.

    Attributes:
        x: where the text ends or begins, in SVG's units.
        y: the line of writing.
        anchor: which end of the text ``x`` is, in SVG's words.
        text: the signs, from the highest point down.
    """

    x: float
    y: float
    anchor: str
    text: str


@dataclass(frozen=True)
class TradeOff:
    """Clean mAP against the one that ranks."""

    x: Axis
    y: Axis
    points: tuple[Point, ...]
    labels: tuple[Label, ...]


def trade_off(marks: Sequence[Mark]) -> TradeOff:
    """Return the plot of a block's entries, of which there is one at least."""
    clean = [mark.clean for mark in marks]
    x = percent_axis(clean, start=52, end=620, lowest=min(clean), finest=2)
    y = percent_axis([mark.worst for mark in marks], start=300, end=16)
    points = tuple(
        Point(
            x.at(mark.clean),
            y.at(mark.worst),
            f"{mark.sign}: {mark.title}: clean {mark.clean:.2f}, attacked {mark.worst:.2f} mAP "
            f"({mark.status})",
            mark.status,
        )
        for mark in marks
    )
    crowds: list[_Crowd] = []
    for mark, point in zip(marks, points, strict=True):
        own = _Crowd((point,), (mark.sign,))
        while (other := next(filter(own.touches, crowds), None)) is not None:
            crowds.remove(other)
            own = _Crowd((*other.points, *own.points), (*other.signs, *own.signs))
        crowds.append(own)
    return TradeOff(x, y, points, tuple(crowd.label for crowd in crowds))


@dataclass(frozen=True)
class _Crowd:
    """Points with one label, which stands beside them."""

    points: tuple[Point, ...]
    signs: tuple[str, ...]

    @cached_property
    def label(self) -> Label:
        """What is written beside the points, to their right where the picture leaves room."""
        left, right = min(p.x for p in self.points), max(p.x for p in self.points)
        top, bottom = min(p.y for p in self.points), max(p.y for p in self.points)
        aside = _MARKER + _ASIDE
        if right - left > _SPREAD:
            return _label((left + right) / 2, top - aside - _HALF_LINE, "middle", self._text)
        if right + aside + _DIGIT * len(self._text) <= _RIGHT:
            return _label(right + aside, (top + bottom) / 2, "start", self._text)
        return _label(left - aside, (top + bottom) / 2, "end", self._text)

    @cached_property
    def _text(self) -> str:
        downwards = sorted(zip(self.points, self.signs, strict=True), key=lambda pair: pair[0].y)
        return _shortened(list(dict.fromkeys(sign for _, sign in downwards)))

    @cached_property
    def _boxes(self) -> list[tuple[float, float, float, float]]:
        """Left, top, right and bottom of the markers and of the label."""
        label = self.label
        width = _DIGIT * len(label.text)
        left = label.x - {"start": 0.0, "middle": width / 2, "end": width}[label.anchor]
        middle = label.y - _BASELINE
        return [
            (left, middle - _HALF_LINE, left + width, middle + _HALF_LINE),
            *((p.x - _MARKER, p.y - _MARKER, p.x + _MARKER, p.y + _MARKER) for p in self.points),
        ]

    def touches(self, other: "_Crowd") -> bool:
        """Whether the label of one would cover the label or a marker of the other."""
        (own, *markers), (theirs, *others) = self._boxes, other._boxes
        return any(_overlap(own, box) for box in (theirs, *others)) or any(
            _overlap(theirs, box) for box in markers
        )


def _label(x: float, middle: float, anchor: str, text: str) -> Label:
    return Label(round(x, 1), round(middle + _BASELINE, 1), anchor, text)


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _shortened(signs: Sequence[str]) -> str:
    """Return signs in words, three or more consecutive numbers as ``4–9``."""
    runs: list[list[str]] = [[signs[0]]]
    for before, sign in pairwise(signs):
        if before.isdecimal() and sign.isdecimal() and int(sign) == int(before) + 1:
            runs[-1].append(sign)
        else:
            runs.append([sign])
    parts = [f"{run[0]}–{run[-1]}" if len(run) > 2 else ", ".join(run) for run in runs]
    text = ", ".join(parts)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
