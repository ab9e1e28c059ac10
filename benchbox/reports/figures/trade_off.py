"""The figure of the trade-off: what a defense's robustness costs on clean queries."""

import math
from collections.abc import Sequence
from itertools import product
from textwrap import fill
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from benchbox.errors import BenchboxError
from benchbox.reports.figures.budgets import curve_style, defense_legend, over_seeds
from benchbox.reports.figures.drawing import TEXT_POINTS, literal, new_figure, plain_axes
from benchbox.reports.figures.identities import shown_conditions
from benchbox.reports.figures.image_counts import ONE_COLUMN, TWO_COLUMNS
from benchbox.results.conditions import Condition
from benchbox.results.measurements import Group, Measurements, measurements_at_home
from benchbox.results.record import Names

Boxes = NDArray[np.float64]
"""(N, 4) boxes: ``x0, y0, x1, y1`` in pixels."""

_DISTANCES = (5, 10, 17, 26, 37, 50, 65, 85)  # of a label from its point, points
_LEADER_FROM = 10  # a label this far off has a line to its point
_DIRECTIONS = tuple(
    np.array([math.cos(turn * math.pi / 8), math.sin(turn * math.pi / 8)])
    for turn in (0, 1, -1, 2, -2, 3, -3, 4, -4, 5, -5, 6, -6, 7, -7, 8)
)
_WHISKER_COST = 12  # of covering a whisker: as bad as standing so many points farther off
_MARKER = 3.2  # half a marker, points
_LABEL = "label"


class Point(NamedTuple):
    """A defense in a panel: mean and sample standard deviation over seeds, in %."""

    defense: str
    clean: float
    robust: float
    clean_std: float
    robust_std: float


def trade_off(results: pd.DataFrame, names: Names, *, attack: str | None = None) -> Figure:
    """Return robust mAP (%) over clean mAP (%), a point per defense, a panel per group.

    Robust is under one attack at its smallest budget. With several seeds a point is the mean of
    each and its whiskers one sample standard deviation (n − 1). Points are labelled where labels
    find room beside each other, else a legend names them all. A defense without a clean or a
    robust result has no point.

    Args:
        results: results.csv.
        names: titles and order.
        attack: the registry's name; by default the first of the table.

    Raises:
        BenchboxError: no model was tested on the dataset it was trained on, or under the attack.
    """
    cells = measurements_at_home(results, names)
    conditions = shown_conditions(cells, attack)
    if len(conditions) < 2:
        raise BenchboxError("results.csv: no cell under an attack, so there is no trade-off.")
    columns = min(2, len(cells.groups))
    rows = -(-len(cells.groups) // columns)
    figure = new_figure((ONE_COLUMN, TWO_COLUMNS)[columns - 1], 2.8 * rows)
    grid = figure.subplots(rows, columns, squeeze=False).flatten()
    for left_over in grid[len(cells.groups) :]:
        left_over.set_visible(False)
    panels = []
    for axes, group in zip(grid, cells.groups, strict=False):
        points = trade_off_points(cells, group, conditions)
        _draw_points(axes, cells, group, points, conditions[1])
        panels.append((axes, points))
    # Labels are placed in the layout as it will be printed.
    figure.draw_without_rendering()
    if not all(_label_points(figure, axes, cells, points) for axes, points in panels):
        for axes, _ in panels:
            _remove_labels(axes)
        nowhere = [Point(defense, math.nan, math.nan, 0, 0) for defense in cells.defenses]
        handles = [_mark(grid[0], point, cells) for point in nowhere]
        defense_legend(figure, handles, [names.title("defenses", d) for d in cells.defenses])
    return figure


def trade_off_points(
    cells: Measurements, group: Group, conditions: Sequence[Condition]
) -> list[Point]:
    """Return the defenses of a group that were measured under both conditions.

    Args:
        cells: the run's cells.
        group: the block.
        conditions: clean and one attack.
    """
    points = []
    for defense in cells.defenses:
        clean, robust = (
            over_seeds([*cells.at(group, defense, condition).values()]) for condition in conditions
        )
        if not (math.isnan(clean[0]) or math.isnan(robust[0])):
            points.append(Point(defense, clean[0], robust[0], clean[1], robust[1]))
    return points


def _draw_points(
    axes: Axes, cells: Measurements, group: Group, points: list[Point], attacked: Condition
) -> None:
    for point in points:
        _mark(axes, point, cells)
    budget = fill(cells.condition_title(attacked), 28, max_lines=1, placeholder="…")
    plain_axes(
        axes,
        title=fill(cells.group_title(group), 40, max_lines=2, placeholder="…"),
        xlabel="Clean mAP (%)",
        ylabel=f"{literal(budget)} mAP (%)",
    )
    axes.grid(axis="x", color="0.85", linewidth=0.6)
    axes.margins(0.2, 0.2)
    # The margin may reach below 0, where no mAP is.
    axes.set_xticks([tick for tick in axes.get_xticks()[1:-1] if 0 <= tick <= 100])
    axes.set_yticks([tick for tick in axes.get_yticks()[1:-1] if 0 <= tick <= 100])
    missing = len(cells.defenses) - len(points)
    note = f"not measured: {missing} of {len(cells.defenses)}" if missing else ""
    corner: dict[str, Any] = {"transform": axes.transAxes, "fontsize": TEXT_POINTS - 1}
    axes.text(0.99, 0.99, "better ↗", ha="right", va="top", color="0.35", **corner)
    axes.text(0.01, 0.99, note, ha="left", va="top", color="0.35", **corner)


def _mark(axes: Axes, point: Point, cells: Measurements) -> ErrorbarContainer:
    style = {**curve_style(cells.defenses.index(point.defense)), "linestyle": "none"}
    x_std, y_std = point.clean_std or None, point.robust_std or None
    return axes.errorbar(
        point.clean, point.robust, xerr=x_std, yerr=y_std, elinewidth=0.7, capsize=1.5, **style
    )


def _remove_labels(axes: Axes) -> None:
    for label in [text for text in axes.texts if text.get_gid() == _LABEL]:
        label.remove()


def _label_points(figure: Figure, axes: Axes, cells: Measurements, points: list[Point]) -> bool:
    """Write each defense's name beside its point; say if all found room.

    Greedily, crowded points first. A label without room is placed before all others in the next
    attempt.
    """
    pixel = figure.dpi / 72  # pixels a point of type takes
    if not points:
        return True
    at = axes.transData.transform([(p.clean, p.robust) for p in points])
    crowded = [float(np.sort(np.linalg.norm(at - here, axis=1))[:4].sum()) for here in at]
    order = sorted(points, key=lambda point: crowded[points.index(point)])
    for _ in range(2 * len(points) + 1):
        _remove_labels(axes)
        room = _Room([_hard(axes, points, pixel)], _whiskers(axes, points, pixel), pixel)
        for point in order:
            title = cells.names.title("defenses", point.defense)
            text = literal(fill(title, 22, max_lines=2, placeholder="…"))
            if not _place_label(axes, text, point, room):
                order = [point, *(other for other in order if other is not point)]
                break
        else:
            return True
    return False


class _Room(NamedTuple):
    """What labels must not cover, what they had better not, and the pixels in a point of type."""

    taken: list[Boxes]
    whiskers: Boxes
    pixel: float


def _place_label(axes: Axes, text: str, point: Point, room: _Room) -> bool:
    """Write a label at the best free place around its point, and take that place."""
    where = (point.clean, point.robust)
    label = axes.annotate(
        text,
        where,
        xytext=(0, 0),
        textcoords="offset points",
        ha="center",
        va="center",
        fontsize=TEXT_POINTS - 1,
        gid=_LABEL,
        arrowprops={"arrowstyle": "-", "linewidth": 0.5, "color": "0.4", "shrinkA": 0.5},
        path_effects=[withStroke(linewidth=2, foreground="white")],
    )
    label.set_in_layout(False)
    half = np.array(label.get_window_extent().size) / 2 + room.pixel
    here = axes.transData.transform(where)
    inside = axes.get_window_extent()
    taken = np.concatenate(room.taken)
    best: tuple[float, NDArray[np.float64], Boxes] | None = None
    for distance, direction in product(_DISTANCES, _DIRECTIONS):
        if best is not None and distance >= best[0]:
            break
        centre = here + direction * (distance * room.pixel + half)
        boxes = _boxes(centre[None], half)
        if not (inside.contains(*boxes[0, :2]) and inside.contains(*boxes[0, 2:])):
            continue
        if distance >= _LEADER_FROM:
            boxes = np.concatenate([boxes, _leader(here, centre, half, room.pixel)])
        if _overlaps(boxes, taken).any():
            continue
        cost = distance + _WHISKER_COST * int(_overlaps(boxes[:1], room.whiskers).sum())
        if best is None or cost < best[0]:
            best = cost, centre, boxes
    if best is None:
        return False
    _, centre, boxes = best
    label.set_position(tuple((centre - here) / room.pixel))
    if len(boxes) == 1 and label.arrow_patch is not None:
        label.arrow_patch.set_visible(False)
    room.taken.append(boxes)
    return True


def _hard(axes: Axes, points: list[Point], pixel: float) -> Boxes:
    """Return what labels must not cover: markers and the notes in the corners."""
    at = axes.transData.transform([(p.clean, p.robust) for p in points])
    notes = [text.get_window_extent().extents for text in axes.texts if text.get_text()]
    return np.concatenate([_boxes(at, np.full(2, _MARKER * pixel)), notes])


def _whiskers(axes: Axes, points: list[Point], pixel: float) -> Boxes:
    at = axes.transData.transform([(p.clean, p.robust) for p in points])
    ends = [(p.clean + p.clean_std, p.robust + p.robust_std) for p in points]
    far = axes.transData.transform(ends) - at
    thin = np.full(len(points), pixel)
    across, upright = np.stack([far[:, 0], thin], axis=1), np.stack([thin, far[:, 1]], axis=1)
    return np.concatenate([_boxes(at, across), _boxes(at, upright)])


def _leader(
    here: NDArray[np.float64],
    centre: NDArray[np.float64],
    half: NDArray[np.float64],
    pixel: float,
) -> Boxes:
    """Return small boxes along the line from a point's marker to its label."""
    way = centre - here
    length = float(np.linalg.norm(way))
    beads = here + np.arange((_MARKER + 2) * pixel, length, pixel)[:, None] * way / length
    outside = (np.abs(beads - centre) > half).any(axis=1)
    return _boxes(beads[outside], np.full(2, 0.6 * pixel))


def _boxes(centres: NDArray[np.float64], half: NDArray[np.float64]) -> Boxes:
    """Return boxes around (N, 2) centres."""
    return np.concatenate([centres - half, centres + half], axis=1)


def _overlaps(boxes: Boxes, others: Boxes) -> NDArray[np.bool_]:
    """Return (N, M) whether boxes overlap."""
    a, b = boxes[:, None], others[None]
    together = (a[..., :2] < b[..., 2:]) & (b[..., :2] < a[..., 2:])
    return together[..., 0] & together[..., 1]
