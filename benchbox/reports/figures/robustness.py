"""The figure of bars: what attacks leave of each defense."""

import statistics
from itertools import groupby

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from benchbox.reports.figures.drawing import (
    OKABE_ITO,
    TEXT_POINTS,
    literal,
    new_figure,
    plain_axes,
)
from benchbox.results.conditions import Condition
from benchbox.results.measurements import Group, Measurements, measurements_at_home
from benchbox.results.record import Names

_CLEAN_COLOUR = "#8A8A8A"
_HATCHES = ("", "////", "....", "xxxx")


def robustness_bars(results: pd.DataFrame, names: Names) -> Figure:
    """Return grouped bars: the mAP (%) of every defense, clean and under each attack and budget.

    A panel per backbone and dataset. Colour tells the attack, hatching the budget; with several
    seeds a bar is the mean and its whisker one sample standard deviation (n − 1).

    Raises:
        BenchboxError: no model was tested on the dataset it was trained on.
    """
    cells = measurements_at_home(results, names)
    slots = len(cells.conditions) + 1.4
    most = max(len(cells.rows_of(group)) for group in cells.groups)
    width = float(np.clip(1.0 + 0.13 * slots * most, 6.5, 14))
    figure = new_figure(width, 0.7 + 2.3 * len(cells.groups))
    panels = figure.subplots(len(cells.groups), 1, squeeze=False, sharey=True)[:, 0]
    looks = _looks(cells)
    for axes, group in zip(panels, cells.groups, strict=True):
        _bars(axes, cells, group, looks)
        axes.set_xlim(-0.55, most - 0.45)
    # After all bars: a limit that is set keeps those of later panels from raising the common one.
    panels[0].set_ylim(bottom=0)
    figure.legend(
        handles=_legend(cells, looks),
        loc="outside upper left",
        ncols=len({condition.attack for condition in cells.conditions}),
        fontsize=TEXT_POINTS,
        frameon=False,
        handlelength=1.6,
        columnspacing=1.6,
    )
    return figure


def _looks(cells: Measurements) -> dict[Condition, tuple[str, str]]:
    """Return the colour (of the attack) and hatch (of the budget) of every condition."""
    looks: dict[Condition, tuple[str, str]] = {}
    attacks = list(dict.fromkeys(c.attack for c in cells.conditions if not c.is_clean))
    for condition in cells.conditions:
        if condition.is_clean:
            looks[condition] = (_CLEAN_COLOUR, "")
            continue
        same = [c for c in cells.conditions if c.attack == condition.attack]
        level = same.index(condition)
        colour = OKABE_ITO[attacks.index(condition.attack) % len(OKABE_ITO)]
        looks[condition] = (_lighter(colour) if level else colour, _HATCHES[level % 4])
    return looks


def _legend(cells: Measurements, looks: dict[Condition, tuple[str, str]]) -> list[Patch]:
    """Return the legend's entries, a column per attack; short columns are filled with blanks."""
    columns = [list(same) for _, same in groupby(looks, key=lambda c: c.attack)]
    height = max(map(len, columns))
    patches = []
    for column in columns:
        for condition in column:
            colour, hatch = looks[condition]
            title = literal(cells.condition_title(condition))
            patches.append(Patch(facecolor=colour, edgecolor="white", hatch=hatch, label=title))
        patches += [Patch(facecolor="none", label=" ") for _ in range(height - len(column))]
    return patches


def _lighter(colour: str) -> str:
    red, green, blue = (round(255 * (0.55 * part + 0.45)) for part in to_rgb(colour))
    return f"#{red:02x}{green:02x}{blue:02x}"


def _bars(
    axes: Axes, cells: Measurements, group: Group, looks: dict[Condition, tuple[str, str]]
) -> None:
    step = 1 / (len(cells.conditions) + 1.4)
    defenses = cells.rows_of(group)
    for place, (condition, (colour, hatch)) in enumerate(looks.items()):
        offset = (place - (len(looks) - 1) / 2) * step
        for row, defense in enumerate(defenses):
            values = [score.mAP for score in cells.at(group, defense, condition).values()]
            if not values:
                axes.text(row + offset, 1, "–", ha="center", fontsize=TEXT_POINTS, color="0.4")
                continue
            std = statistics.stdev(values) if len(values) > 1 else None
            axes.bar(
                row + offset,
                statistics.fmean(values),
                step * 0.94,
                yerr=std,
                color=colour,
                hatch=hatch,
                edgecolor="white",
                linewidth=0,
                error_kw={"elinewidth": 0.7, "capsize": 1.2, "capthick": 0.7},
            )
    titles = [literal(cells.names.title("defenses", d)) for d in defenses]
    plain_axes(axes, title=cells.group_title(group), xlabel="", ylabel="mAP (%)")
    axes.set_xticks(range(len(titles)), titles)
    if sum(map(len, titles)) > 11 * axes.get_figure(root=True).get_figwidth():  # type: ignore[union-attr]
        axes.tick_params(axis="x", rotation=20)
    axes.tick_params(axis="x", length=0)
