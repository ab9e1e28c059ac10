"""Where the labels of a plot's points stand, so that none covers another."""

from collections.abc import Iterator
from typing import NamedTuple

_LETTER = 6.3
"""About the width of a letter, 11 units high."""

_SHIFTS = (13.0, 24.0, 36.0, 48.0, 60.0, 72.0)
"""How far up or down a label may stand, in the order they are tried."""

_NEAR = 14.0
"""Up to this shift it is plain which point a label belongs to."""


class Edges(NamedTuple):
    """A box: of a label, of a point, or of all that labels may take."""

    left: float
    top: float
    right: float
    bottom: float


def box(x: float, y: float, half_width: float, half_height: float) -> Edges:
    """Return the box around a middle."""
    return Edges(x - half_width, y - half_height, x + half_width, y + half_height)


class Place(NamedTuple):
    """Where a label stands.

    Attributes:
        x: coordinate.
        y: of the line of writing.
        anchor: which end of the label ``x`` is, in SVG's words.
        far: how far from the point's height the middle of the label is, if so far that a line has
            to lead there; 0 otherwise.
    """

    x: float
    y: float
    anchor: str
    far: float


def label_place(
    point: tuple[float, float], label: str, taken: list[Edges], *, edges: Edges
) -> Place:
    """Return where a label stands: the first place beside its point that is free.

    Where none is, it stands to the right and covers something.

    Args:
        point: that it belongs to.
        label: one line.
        taken: boxes that are not free; the label's own is added.
        edges: what it has to stay inside of.
    """
    candidates = list(_candidates(point, len(label) * _LETTER))
    free = (
        candidate
        for candidate in candidates
        if _inside(candidate[3], edges) and not any(_overlap(candidate[3], o) for o in taken)
    )
    x, y, anchor, own = next(free, candidates[0])
    taken.append(own)
    shift = y - 4 - point[1]
    return Place(round(x, 1), round(y, 1), anchor, round(shift, 1) if abs(shift) > _NEAR else 0.0)


def _candidates(
    point: tuple[float, float], width: float
) -> Iterator[tuple[float, float, str, Edges]]:
    px, py = point
    for shift in (0.0, *(sign * step for step in _SHIFTS for sign in (-1, 1))):
        for side, anchor in ((1, "start"), (-1, "end")):
            x = px + 9 * side
            yield x, py + shift + 4, anchor, box(x + side * width / 2, py + shift, width / 2, 6.5)
        if shift:
            yield px, py + shift + 4, "middle", box(px, py + shift, width / 2, 6.5)


def _inside(own: Edges, edges: Edges) -> bool:
    return (
        own.left >= edges.left
        and own.top >= edges.top
        and own.right <= edges.right
        and own.bottom <= edges.bottom
    )


def _overlap(a: Edges, b: Edges) -> bool:
    return a.left < b.right and b.left < a.right and a.top < b.bottom and b.top < a.bottom
