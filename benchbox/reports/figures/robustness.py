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
_Look = tuple[str, str]  # colour of the attack, hatch of the budget
_HATCHES = ("", "////", "....", "xxxx")


def robustness_bars(results: pd.DataFrame, names: Names) -> Figure:
    """Return grouped bars: the mAP (%) of every defense under each attack and budget.

    Two panels per backbone and dataset: the clean mAP on an axis of its own, so that it does not
    flatten what attacks leave, and below it the attacked. Colour tells the attack, hatching the
    budget; with several seeds a bar is the mean and its whisker one sample standard deviation
    (n − 1).

    Raises:
        BenchboxError: no model was tested on the dataset it was trained on.
    """
    cells = measurements_at_home(results, names)
    looks = _looks(cells)
    kinds = _kinds(cells, looks)
    slots = max(map(len, kinds)) + 1.4
    most = max(len(cells.rows_of(group)) for group in cells.groups)
    width = float(np.clip(1.0 + 0.13 * slots * most, 6.5, 14))
    heights = [0.8 if kind is kinds[0] and len(kinds) > 1 else 2.2 for kind in kinds]
    figure = new_figure(width, 0.7 + (sum(heights) + 0.3) * len(cells.groups))
    panels = figure.subplots(
        len(kinds) * len(cells.groups),
        1,
        squeeze=False,
        gridspec_kw={"height_ratios": heights * len(cells.groups)},
    )[:, 0]
    for first, kind in enumerate(kinds):
        own = panels[first :: len(kinds)]
        for axes, group in zip(own, cells.groups, strict=True):
            _bars(axes, cells, group, kind)
            title = cells.group_title(group) if first == 0 else ""
            ylabel = "clean" if len(kinds) > 1 and first == 0 else "mAP (%)"
            plain_axes(axes, title=title, xlabel="", ylabel=ylabel)
            _name_defenses(axes, cells, group, shown=first == len(kinds) - 1)
            axes.set_xlim(-0.55, most - 0.45)
        # After all bars, so that none is higher than its panel.
        top = max(axes.get_ylim()[1] for axes in own)
        for axes in own:
            axes.set_ylim(0, top)
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


def _kinds(cells: Measurements, looks: dict[Condition, _Look]) -> list[dict[Condition, _Look]]:
    """Return the looks of clean queries, then those of attacked ones; none that has no result."""
    measured = {condition for _, _, condition in cells.scores}
    by_kind = ({c: looks[c] for c in looks if c.is_clean == clean} for clean in (True, False))
    return [kind for kind in by_kind if measured & kind.keys()]


def _looks(cells: Measurements) -> dict[Condition, _Look]:
    """Return the colour (of the attack) and hatch (of the budget) of every condition."""
    looks: dict[Condition, _Look] = {}
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


def _legend(cells: Measurements, looks: dict[Condition, _Look]) -> list[Patch]:
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


def _bars(axes: Axes, cells: Measurements, group: Group, looks: dict[Condition, _Look]) -> None:
    step = 1 / (len(looks) + 1.4)
    for place, (condition, (colour, hatch)) in enumerate(looks.items()):
        offset = (place - (len(looks) - 1) / 2) * step
        for row, defense in enumerate(cells.rows_of(group)):
            values = [score.mAP for score in cells.at(group, defense, condition).values()]
            if not values:
                axes.annotate(
                    "–", (row + offset, 0), (0, 2), textcoords="offset points", ha="center",
                    fontsize=TEXT_POINTS, color="0.4",
                )  # fmt: skip
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
            if condition.is_clean:
                axes.annotate(
                    f"{statistics.fmean(values):.0f}", (row, statistics.fmean(values) / 2),
                    ha="center", va="center", fontsize=TEXT_POINTS, color="white",
                )  # fmt: skip


def _name_defenses(axes: Axes, cells: Measurements, group: Group, *, shown: bool) -> None:
    titles = [literal(cells.names.title("defenses", d)) for d in cells.rows_of(group)]
    axes.set_xticks(range(len(titles)), titles if shown else [""] * len(titles))
    if sum(map(len, titles)) > 11 * axes.get_figure(root=True).get_figwidth():  # type: ignore[union-attr]
        axes.tick_params(axis="x", rotation=20)
    axes.tick_params(axis="x", length=0)
