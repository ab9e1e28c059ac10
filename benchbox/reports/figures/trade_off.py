"""The figure of the trade-off: what a defense's robustness costs on clean queries."""

import math
from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from numpy.typing import NDArray

from benchbox.errors import BenchboxError
from benchbox.reports.figures.curves import curve_style, legend_below, over_seeds
from benchbox.reports.figures.drawing import (
    TEXT_POINTS,
    literal,
    new_panels,
    plain_axes,
    shortened,
)
from benchbox.reports.figures.identities import shown_conditions
from benchbox.reports.figures.names_of_points import name_points
from benchbox.results.conditions import Condition
from benchbox.results.measurements import Group, Measurements, measurements_at_home
from benchbox.results.record import Names


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
    figure, grid = new_panels(len(cells.groups), height=2.8)
    panels = []
    for axes, group in zip(grid, cells.groups, strict=True):
        points = trade_off_points(cells, group, conditions)
        _draw_points(axes, cells, group, points, conditions[1])
        panels.append((axes, points))
    # Labels are placed in the layout as it will be printed.
    figure.draw_without_rendering()
    drawn = [name_points(axes, *_named(cells, points)) for axes, points in panels if points]
    if not all(fits for fits, _ in drawn):
        for artist in chain.from_iterable(artists for _, artists in drawn):
            artist.remove()
        nowhere = [Point(defense, math.nan, math.nan, 0, 0) for defense in cells.defenses]
        handles = [_mark(grid[0], point, cells) for point in nowhere]
        legend_below(figure, handles, [names.title("defenses", d) for d in cells.defenses])
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
    budget = shortened(cells.condition_title(attacked), 28, lines=1)
    plain_axes(
        axes,
        title=shortened(cells.group_title(group), 40),
        xlabel="Clean mAP (%)",
        ylabel=f"{literal(budget)} mAP (%)",
    )
    axes.grid(axis="x", color="0.85", linewidth=0.6)
    axes.margins(0.2, 0.2)
    # The margin may reach below 0, where no mAP is.
    axes.set_xticks([tick for tick in axes.get_xticks()[1:-1] if 0 <= tick <= 100])
    axes.set_yticks([tick for tick in axes.get_yticks()[1:-1] if 0 <= tick <= 100])
    planned = len(cells.rows_of(group))
    missing = planned - len(points)
    note = f"not measured: {missing} of {planned}" if missing else ""
    corner: dict[str, Any] = {"transform": axes.transAxes, "fontsize": TEXT_POINTS - 1}
    axes.text(0.99, 0.99, "better ↗", ha="right", va="top", color="0.35", **corner)
    axes.text(0.01, 0.99, note, ha="left", va="top", color="0.35", **corner)


def _mark(axes: Axes, point: Point, cells: Measurements) -> ErrorbarContainer:
    style = {**curve_style(cells.defenses.index(point.defense)), "linestyle": "none"}
    x_std, y_std = point.clean_std or None, point.robust_std or None
    return axes.errorbar(
        point.clean, point.robust, xerr=x_std, yerr=y_std, elinewidth=0.7, capsize=1.5, **style
    )


def _named(cells: Measurements, points: list[Point]) -> tuple[NDArray[np.float64], list[str]]:
    """Return (N, 2) where points stand, and the names to write beside them."""
    titles = [cells.names.title("defenses", point.defense) for point in points]
    texts = [literal(shortened(title, 18)) for title in titles]
    return np.array([(point.clean, point.robust) for point in points]), texts
