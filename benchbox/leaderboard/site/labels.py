"""Where the labels of a plot's points stand, so that each is read as its own point's."""

from collections.abc import Iterator, Mapping, Sequence
from math import hypot
from typing import NamedTuple

_NARROW = frozenset(" .,:;'|!()[]-/fijlrtI1")
_WIDE = frozenset("mwMW@%&+")
"""Letters that are not about 7 units wide, 11 units high."""

_PAD = 3.0
"""Left free at both ends of a label, or two beside each other read as one."""

_MARKER = 5.0
"""Half the width of a point's marker."""

_ASIDE = (9.0, 21.0, 33.0, 45.0, 57.0)
"""How far to the side of its point a label may start."""

_SHIFTS = (0.0, *(sign * 8.0 * step for step in range(1, 13) for sign in (-1, 1)))
"""How far up or down the middle of a label may stand."""

_NEAR = 10.0
"""A label further than this from its point has a line that leads there."""

_CLEAR = 14.0
"""Another point that is nearer to a label than this might seem to be its own."""

_ROUNDS = 5
"""How often labels in each other's way start over; more takes time and helps little."""

Spot = tuple[float, float]
"""A coordinate to the right and one downwards."""


class Edges(NamedTuple):
    """A box: of a label, of a point, or of all that labels may take."""

    left: float
    top: float
    right: float
    bottom: float


class Place(NamedTuple):
    """Where a label stands.

    Attributes:
        x: coordinate.
        y: of the line of writing.
        anchor: which end of the label ``x`` is, in SVG's words.
        box: what the label takes.
        leader: where the line from its point ends; None where the label is plainly its point's.
    """

    x: float
    y: float
    anchor: str
    box: Edges
    leader: Spot | None


def label_places(points: Sequence[Spot], labels: Sequence[str], *, edges: Edges) -> list[Place]:
    """Return where the labels of points stand: each at the nearest place without a fault.

    A fault is to leave the edges, to cover a label or a marker, to have a line that crosses a label
    or a line, to seem another point's. In a round labels choose in turn, then once more among all
    others; those left with a fault choose earlier in the next round, and the best round holds.

    Args:
        points: in the order in which their labels choose at first.
        labels: one line each.
        edges: what they have to stay inside of.
    """
    choices = [
        _choices(index, label, points, edges)
        for index, (_, label) in enumerate(zip(points, labels, strict=True))
    ]
    failures = [0] * len(points)
    best: tuple[int, dict[int, Place]] | None = None
    for _ in range(_ROUNDS):
        order = sorted(range(len(points)), key=lambda index: (-failures[index], index))
        placed: dict[int, Place] = {}
        for index in (*order, *order):
            placed[index] = _first(choices[index], points[index], _standing(index, points, placed))
        faults = [
            _conflicts(points[index], placed[index], _standing(index, points, placed))
            for index in range(len(points))
        ]
        if best is None or sum(faults) < best[0]:
            best = (sum(faults), placed)
        if best[0] == 0:
            break
        failures = [before + (found > 0) for before, found in zip(failures, faults, strict=True)]
    return [best[1][index] for index in range(len(points))] if best else []


def _choices(index: int, label: str, points: Sequence[Spot], edges: Edges) -> list[Place]:
    """Return the places with the fewest faults that other labels have no part in, nearest first."""
    point = points[index]
    others = [*points[:index], *points[index + 1 :]]
    places = sorted(_candidates(point, _width(label)), key=lambda place: _gap(place.box, point))
    # To leave the picture or to hide something is worse than to mislead.
    faults = [
        100 * (not _inside(place.box, edges))
        + 10 * sum(_overlap(place.box, _marker(spot)) for spot in points)
        + _misleading(point, place, others)
        for place in places
    ]
    fewest = min(faults)
    return [place for place, found in zip(places, faults, strict=True) if found == fewest]


def _standing(
    index: int, points: Sequence[Spot], placed: Mapping[int, Place]
) -> list[tuple[Spot, Place]]:
    return [(points[other], place) for other, place in placed.items() if other != index]


def _first(choices: Sequence[Place], point: Spot, standing: Sequence[tuple[Spot, Place]]) -> Place:
    """Return the first of the places with the fewest conflicts."""
    found = []
    for place in choices:
        found.append(_conflicts(point, place, standing))
        if not found[-1]:
            return place
    return choices[found.index(min(found))]


def _conflicts(point: Spot, place: Place, standing: Sequence[tuple[Spot, Place]]) -> int:
    """Return how many labels and lines a label and its line would cover or cross."""
    count = 0
    for start, other in standing:
        count += 10 * _overlap(place.box, other.box)
        if other.leader:
            count += _enters(start, other.leader, place.box)
        if place.leader:
            count += _enters(point, place.leader, other.box)
        # Lines from one spot meet there, whatever way they go.
        if place.leader and other.leader and start != point:
            count += _cross(point, place.leader, start, other.leader)
    return count


def _candidates(point: Spot, width: float) -> Iterator[Place]:
    px, py = point
    for shift in _SHIFTS:
        for aside in _ASIDE:
            for side, anchor in ((1, "start"), (-1, "end")):
                x = px + aside * side
                own = _box(x + side * width / 2, py + shift, width)
                yield _place(point, x, py + shift, anchor, own, (x - _PAD * side, py + shift))
        # Above or below its point, a label may stand to it in several ways.
        for share in (0.0, 0.25, -0.25, 0.45, -0.45) if shift else ():
            x = px + share * width
            own = _box(x, py + shift, width)
            end = (px, own.bottom if shift < 0 else own.top)
            yield _place(point, x, py + shift, "middle", own, end)


def _width(label: str) -> float:
    """Return about how wide a label is, 11 units high, in the wider of the usual fonts."""
    return sum(4.0 if c in _NARROW else 9.5 if c in _WIDE else 7.0 for c in label)


def _box(x: float, y: float, width: float) -> Edges:
    half = width / 2 + _PAD
    return Edges(x - half, y - 6.5, x + half, y + 6.5)


def _place(point: Spot, x: float, y: float, anchor: str, own: Edges, end: Spot) -> Place:
    leader = (round(end[0], 1), round(end[1], 1)) if _gap(own, point) > _NEAR else None
    return Place(round(x, 1), round(y + 4, 1), anchor, own, leader)


def _misleading(point: Spot, place: Place, others: Sequence[Spot]) -> int:
    """Return how many other points a label might be taken for, or its line runs over."""
    reach = min(2 * _gap(place.box, point), _CLEAR)
    count = sum(_gap(place.box, other) < reach for other in others)
    if place.leader:
        for other in others:
            # A marker that its own covers in part cannot be kept clear of, only led away from.
            clear = min(_MARKER + 1, hypot(other[0] - point[0], other[1] - point[1]))
            count += _from_line(other, point, place.leader) < clear - 1e-9
    return count


def _marker(spot: Spot) -> Edges:
    x, y = spot
    return Edges(x - _MARKER, y - _MARKER, x + _MARKER, y + _MARKER)


def _gap(own: Edges, spot: Spot) -> float:
    """Return how far a spot is from a box."""
    x, y = spot
    return hypot(max(own.left - x, 0.0, x - own.right), max(own.top - y, 0.0, y - own.bottom))


def _inside(own: Edges, edges: Edges) -> bool:
    return (
        own.left >= edges.left
        and own.top >= edges.top
        and own.right <= edges.right
        and own.bottom <= edges.bottom
    )


def _overlap(a: Edges, b: Edges) -> bool:
    return a.left < b.right and b.left < a.right and a.top < b.bottom and b.top < a.bottom


def _enters(start: Spot, end: Spot, own: Edges) -> bool:
    """Whether a line runs through a box: it does so on a stretch where it is between all edges."""
    first, last = 0.0, 1.0
    for at, to, low, high in (
        (start[0], end[0], own.left, own.right),
        (start[1], end[1], own.top, own.bottom),
    ):
        if at == to:
            if not low <= at <= high:
                return False
            continue
        into, out = sorted(((low - at) / (to - at), (high - at) / (to - at)))
        first, last = max(first, into), min(last, out)
    return first <= last


def _cross(a: Spot, b: Spot, c: Spot, d: Spot) -> bool:
    """Whether the lines from a to b and from c to d cross: each parts the other's ends."""
    return _side(a, b, c) * _side(a, b, d) <= 0 and _side(c, d, a) * _side(c, d, b) <= 0


def _side(a: Spot, b: Spot, spot: Spot) -> float:
    return (b[0] - a[0]) * (spot[1] - a[1]) - (b[1] - a[1]) * (spot[0] - a[0])


def _from_line(spot: Spot, start: Spot, end: Spot) -> float:
    """Return how far a spot is from a line that has a length."""
    along = (end[0] - start[0], end[1] - start[1])
    share = (spot[0] - start[0]) * along[0] + (spot[1] - start[1]) * along[1]
    share = min(max(share / (along[0] ** 2 + along[1] ** 2), 0.0), 1.0)
    return hypot(start[0] + share * along[0] - spot[0], start[1] + share * along[1] - spot[1])
