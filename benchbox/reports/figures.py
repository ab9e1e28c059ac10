"""The figures of a run: what attacks leave of each defense, and of each identity."""

import statistics

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from benchbox.errors import BenchboxError
from benchbox.reports.conditions import Condition
from benchbox.reports.contact_sheet import contact_sheet
from benchbox.reports.drawing import (
    OKABE_ITO,
    TEXT_POINTS,
    new_figure,
    plain_axes,
    save_figure,
    style_of,
)
from benchbox.reports.measurements import Group, Measurements, measurements
from benchbox.reports.record import Names

__all__ = ["contact_sheet", "per_identity", "robustness_bars", "save_figure"]

_CLEAN_COLOUR = "#8A8A8A"
_HATCHES = ("", "////", "....", "xxxx")


def robustness_bars(results: pd.DataFrame, names: Names) -> Figure:
    """Return grouped bars: the mAP (%) of every defense, clean and under each attack and budget.

    A panel per backbone and dataset. Colour tells the attack, hatching the budget; with several
    seeds a bar is the mean and its whisker one sample standard deviation (n − 1).

    Raises:
        BenchboxError: no model was tested on the dataset it was trained on.
    """
    cells = _white_box(results, names)
    slots = len(cells.conditions) + 1.4
    width = float(np.clip(1.0 + 0.13 * slots * len(cells.defenses), 6.5, 14))
    figure = new_figure(width, 0.7 + 2.3 * len(cells.groups))
    panels = figure.subplots(len(cells.groups), 1, squeeze=False, sharey=True)[:, 0]
    looks = _looks(cells)
    for axes, group in zip(panels, cells.groups, strict=True):
        _bars(axes, cells, group, looks)
    patches = [
        Patch(facecolor=colour, edgecolor="white", hatch=hatch, label=cells.condition_title(c))
        for c, (colour, hatch) in looks.items()
    ]
    figure.legend(
        handles=patches,
        loc="outside upper center",
        ncols=min(len(patches), max(4, int(width / 1.1))),
        fontsize=TEXT_POINTS,
        frameon=False,
        handlelength=1.6,
        columnspacing=1.2,
    )
    return figure


def per_identity(
    results: pd.DataFrame, per_id: pd.DataFrame, names: Names, *, attack: str | None = None
) -> Figure:
    """Return each identity's AP (%), sorted, per defense: clean and under one attack.

    Clean on the left, the attack at its smallest budget on the right, a row per backbone and
    dataset, the lowest seed. The legend gives mean and sample standard deviation (n − 1) over
    identities, each identity counted once: the mean differs from mAP, which counts queries.

    Args:
        results: results.csv.
        per_id: per_id.csv.
        names: titles and order.
        attack: the registry's name; by default the first of the table.

    Raises:
        BenchboxError: the run has no such attack, or none at all on its own datasets.
    """
    cells = _white_box(results, names)
    conditions = shown_conditions(cells, attack)
    figure = new_figure(3.6 * len(conditions), 2.9 * len(cells.groups))
    panels = figure.subplots(len(cells.groups), len(conditions), squeeze=False, sharey=True)
    curves = {
        str(cell): 100 * np.sort(rows["ap"].to_numpy())[::-1]
        for cell, rows in per_id.groupby("cell")
    }
    for row, group in zip(panels, cells.groups, strict=True):
        for axes, condition in zip(row, conditions, strict=True):
            _curves(axes, cells, group, condition, curves)
    return figure


def shown_conditions(cells: Measurements, attack: str | None = None) -> list[Condition]:
    """Return what the figure of identities shows: clean, and one attack at its smallest budget.

    Raises:
        BenchboxError: the run has no such attack.
    """
    clean = [c for c in cells.conditions if c.is_clean]
    attacked = [c for c in cells.conditions if not c.is_clean and attack in (None, c.attack)]
    if attack is not None and not attacked:
        known = ", ".join(dict.fromkeys(c.attack for c in cells.conditions))
        raise BenchboxError(f"results.csv: no cell under attack {attack!r}. It holds: {known}.")
    return [*clean, *attacked[:1]]


def _white_box(results: pd.DataFrame, names: Names) -> Measurements:
    cells = measurements(results, names)
    if not cells.scores:
        raise BenchboxError("results.csv: no model was tested on the dataset it was trained on.")
    return cells


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


def _lighter(colour: str) -> str:
    red, green, blue = (round(255 * (0.55 * part + 0.45)) for part in to_rgb(colour))
    return f"#{red:02x}{green:02x}{blue:02x}"


def _bars(
    axes: Axes, cells: Measurements, group: Group, looks: dict[Condition, tuple[str, str]]
) -> None:
    step = 1 / (len(cells.conditions) + 1.4)
    for place, (condition, (colour, hatch)) in enumerate(looks.items()):
        offset = (place - (len(looks) - 1) / 2) * step
        for row, defense in enumerate(cells.defenses):
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
    titles = [cells.names.title("defenses", defense) for defense in cells.defenses]
    plain_axes(axes, title=cells.group_title(group), xlabel="", ylabel="mAP (%)")
    axes.set_xticks(range(len(titles)), titles)
    if sum(map(len, titles)) > 11 * axes.get_figure(root=True).get_figwidth():  # type: ignore[union-attr]
        axes.tick_params(axis="x", rotation=20)
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(-0.55, len(titles) - 0.45)
    axes.set_ylim(bottom=0)


def _curves(
    axes: Axes,
    cells: Measurements,
    group: Group,
    condition: Condition,
    curves: dict[str, np.ndarray],
) -> None:
    for index, defense in enumerate(cells.defenses):
        score = cells.at(group, defense, condition).get(cells.seeds[0])
        values = curves.get(score.cell) if score else None
        if values is None:
            continue
        colour, dashes = style_of(index)
        std = f" ± {values.std(ddof=1):.1f}" if len(values) > 1 else ""
        title = cells.names.title("defenses", defense)
        axes.plot(
            np.arange(1, len(values) + 1),
            values,
            color=colour,
            linestyle=dashes,
            linewidth=1.3,
            label=f"{title}: {values.mean():.1f}{std}",
        )
    title = f"{cells.group_title(group)}, {cells.condition_title(condition)}"
    plain_axes(
        axes, title=title, xlabel="Identities, each curve sorted by AP", ylabel="AP of identity (%)"
    )
    axes.set_ylim(-2, 102)
    axes.set_xlim(left=1)
    handles, _ = axes.get_legend_handles_labels()
    if handles:
        axes.legend(
            title="mean ± std over identities",
            fontsize=TEXT_POINTS - 1.5,
            title_fontsize=TEXT_POINTS - 1.5,
            frameon=False,
            loc="upper left",
            bbox_to_anchor=(0, -0.24),
            ncols=2,
            handlelength=2.6,
        )
