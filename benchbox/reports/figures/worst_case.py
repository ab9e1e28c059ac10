"""The figure of the finding: what the literature's attack leaves beside the worst case."""

import statistics
from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from attacks import WorstCase
from benchbox.errors import BenchboxError
from benchbox.reports.figures.drawing import (
    OKABE_ITO,
    TEXT_POINTS,
    TWO_COLUMNS,
    literal,
    new_figure,
    plain_axes,
    shortened,
)
from benchbox.results.conditions import Condition
from benchbox.results.measurements import Group, Measurements, measurements_at_home
from benchbox.results.record import Names

_USUAL, _WORST = OKABE_ITO[:2]


class Fall(NamedTuple):
    """What two attacks leave of a defense, mAP in % (means over seeds)."""

    defense: str
    usual: float
    worst: float


class Panel(NamedTuple):
    """The defenses of one block.

    Attributes:
        title: model and dataset, in words.
        falls: one a defense, in any order.
    """

    title: str
    falls: Sequence[Fall]


def beside_worst_case(results: pd.DataFrame, names: Names) -> Figure:
    """Return what the first attack of the table leaves beside the worst case, per defense.

    Both at the smallest budget; a panel per backbone and dataset.

    Args:
        results: results.csv.
        names: titles and order.

    Raises:
        BenchboxError: the run lacks the worst case or another attack at its smallest budget.
    """
    cells = measurements_at_home(results, names)
    usual, worst = _conditions(cells)
    panels = [
        Panel(cells.group_title(group), falls)
        for group in cells.groups
        if (falls := _falls(cells, group, usual, worst))
    ]
    if not panels:
        raise BenchboxError("results.csv: no defense has a result under both attacks.")
    return draw_falls(panels, cells.condition_title(usual), cells.condition_title(worst))


def draw_falls(panels: Sequence[Panel], usual: str, worst: str) -> Figure:
    """Return a line per defense from what the usual attack leaves to what the worst case leaves.

    The most robust under the worst case stands on top. At the right stands each defense's place
    among its panel's, by the usual attack and by the worst case; equal mAP shares a place.

    Args:
        panels: at least one, each with at least one defense.
        usual: title of the usual attack with its budget.
        worst: likewise of the worst case.
    """
    heights = [0.5 + 0.19 * len(panel.falls) for panel in panels]
    figure = new_figure(TWO_COLUMNS, 0.5 + sum(heights))
    grid = figure.subplots(
        len(panels), 1, squeeze=False, sharex=True, gridspec_kw={"height_ratios": heights}
    )[:, 0]
    for axes, panel in zip(grid, panels, strict=True):
        _draw(axes, panel)
        plain_axes(axes, title=shortened(panel.title, 60), xlabel="", ylabel="")
        axes.grid(axis="x", color="0.85", linewidth=0.6)
        axes.grid(visible=False, axis="y")
    grid[-1].set_xlabel("mAP (%)", fontsize=TEXT_POINTS)
    grid[-1].set_xlim(left=0)
    marks = [
        Line2D([], [], marker="o", linestyle="none", color=colour, label=literal(title))
        for colour, title in ((_USUAL, usual), (_WORST, worst))
    ]
    figure.legend(
        handles=marks, loc="outside upper left", ncols=2, fontsize=TEXT_POINTS, frameon=False
    )
    return figure


def _draw(axes: Axes, panel: Panel) -> None:
    falls = sorted(panel.falls, key=lambda fall: (fall.worst, fall.usual))
    for row, fall in enumerate(falls):
        axes.plot([fall.worst, fall.usual], [row, row], color="0.7", linewidth=1.2, zorder=1)
        axes.plot(fall.usual, row, "o", color=_USUAL, markersize=4.5)
        axes.plot(fall.worst, row, "o", color=_WORST, markersize=4.5)
        before = _place(fall.usual, [other.usual for other in falls])
        after = _place(fall.worst, [other.worst for other in falls])
        axes.annotate(
            f"{before} → {after}", (1.01, row), xycoords=("axes fraction", "data"),
            va="center", fontsize=TEXT_POINTS, color="0.15" if before == after else _WORST,
            annotation_clip=False,
        )  # fmt: skip
    axes.annotate(
        "place", (1.01, 1.02), xycoords="axes fraction", fontsize=TEXT_POINTS, color="0.35"
    )
    axes.set_yticks(range(len(falls)), [literal(shortened(f.defense, 40, lines=1)) for f in falls])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(-0.6, len(falls) - 0.4)


def _place(value: float, values: Sequence[float]) -> int:
    """Return a value's place among all, the highest first; equal ones share it."""
    return 1 + sum(other > value for other in values)


def _conditions(cells: Measurements) -> tuple[Condition, Condition]:
    attacked = [condition for condition in cells.conditions if not condition.is_clean]
    for worst in attacked:
        usual = [c for c in attacked if c.attack != WorstCase.name and c.eps_255 == worst.eps_255]
        if worst.attack == WorstCase.name and usual:
            return usual[0], worst
    raise BenchboxError(
        f"results.csv: expected {WorstCase.name} and another attack at the same budget; name both "
        "among the grid's attacks."
    )


def _falls(cells: Measurements, group: Group, usual: Condition, worst: Condition) -> list[Fall]:
    falls = []
    for defense in cells.rows_of(group):
        scores = [cells.at(group, defense, condition) for condition in (usual, worst)]
        # Means are of the same models on both sides, also where a run has not come to its end.
        seeds = scores[0].keys() & scores[1].keys()
        if seeds:
            means = [statistics.fmean(by_seed[seed].mAP for seed in seeds) for by_seed in scores]
            falls.append(Fall(cells.names.title("defenses", defense), *means))
    return falls
