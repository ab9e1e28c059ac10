"""Names beside the points of a plot, moved apart by adjustText."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from adjustText import adjust_text
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from matplotlib.text import Text
from numpy.typing import ArrayLike, NDArray

from benchbox.reports.figures.drawing import TEXT_POINTS

LABEL = "label"
"""The group id of a name beside a point."""

_MARKER = 4.0  # half a marker and some air, points
_LEADER_FROM = 12  # a name so many pixels off has a line to its point
_ROUNDS = 1000  # of moving names apart: a number, as seconds would not repeat

Places = NDArray[np.float64]
"""(N, 2) places in the units of the axes."""


def name_points(axes: Axes, middles: Places, names: Sequence[str]) -> tuple[bool, list[Artist]]:
    """Write names near their points; return whether all fit, and what was drawn.

    Names keep off each other, the markers and the texts that the axes have. The same points give
    the same figure.

    Args:
        axes: in the layout as it will be printed.
        middles: of the markers, at least one.
        names: one a point.
    """
    taken = _taken(axes, middles)
    labels = []
    above = _beside(axes, middles, (0, 2 * _MARKER))
    for name, (x, y) in zip(names, above, strict=True):
        label = axes.text(x, y, name, ha="center", fontsize=TEXT_POINTS - 1, gid=LABEL)
        label.set_path_effects([withStroke(linewidth=2, foreground="white")])
        label.set_in_layout(False)
        labels.append(label)
    _, lines = adjust_text(
        labels,
        *taken.T,
        ax=axes,
        target_x=middles[:, 0],
        target_y=middles[:, 1],
        avoid_self=False,
        iter_lim=_ROUNDS,
        prevent_crossings=False,  # it swaps names at the end, and then some no longer fit
        expand=(1.1, 1.3),
        force_text=(0.3, 0.5),
        min_arrow_len=_LEADER_FROM,
        arrowprops={"arrowstyle": "-", "linewidth": 0.5, "color": "0.4", "shrinkB": 3},
    )
    for line in lines:
        line.set_in_layout(False)
    return _fit(axes, labels, axes.transData.transform(middles)), [*labels, *lines]


def _taken(axes: Axes, middles: Places) -> Places:
    """Return (N, 2) places in data that names keep off: around markers, inside the notes."""
    turns = np.linspace(0, 2 * np.pi, 8, endpoint=False)
    ring = _MARKER * np.stack([np.cos(turns), np.sin(turns)], axis=1)
    around = [_beside(axes, middles, offset) for offset in ring]
    notes = [_along(text) for text in axes.texts if text.get_text()]
    return np.concatenate([*around, *map(axes.transData.inverted().transform, notes)])


def _along(text: Text) -> Places:
    """Return (N, 2) places in pixels on a text's upper and lower edge, a few letters apart."""
    box = text.get_window_extent()
    across = np.linspace(box.x0, box.x1, max(2, len(text.get_text()) // 2))
    return np.stack([np.tile(across, 2), np.repeat([box.y0, box.y1], len(across))], axis=1)


def _beside(axes: Axes, places: Places, points: ArrayLike) -> Places:
    """Return the (N, 2) places, in data, that lie so many points (2,) of type beside others."""
    dpi: float = axes.get_figure(root=True).dpi  # type: ignore[union-attr]  # axes are in a figure
    pixels = np.asarray(points) * dpi / 72
    moved = axes.transData.inverted().transform(axes.transData.transform(places) + pixels)
    return np.asarray(moved)


def _fit(axes: Axes, labels: list[Text], markers: Places) -> bool:
    """Return whether names lie inside the axes and cover neither each other nor a marker."""
    boxes = [label.get_window_extent() for label in labels]
    inside = axes.get_window_extent()
    return (
        all(inside.contains(*box.min) and inside.contains(*box.max) for box in boxes)
        and not any(one.overlaps(other) for one, other in combinations(boxes, 2))
        and not any(box.contains(*marker) for box in boxes for marker in markers)
    )
