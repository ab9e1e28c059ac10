"""The figure of identities: whose AP an attack takes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchbox.errors import BenchboxError
from benchbox.reports.figures.curves import curve_places, shown_defenses
from benchbox.reports.figures.drawing import (
    TEXT_POINTS,
    literal,
    new_figure,
    plain_axes,
    shortened,
    style_of,
)
from benchbox.results.conditions import Condition
from benchbox.results.measurements import Group, Measurements, measurements_at_home
from benchbox.results.record import Names


def per_identity(
    results: pd.DataFrame,
    per_id: pd.DataFrame,
    names: Names,
    *,
    attack: str | None = None,
    defenses: Sequence[str] | None = None,
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
        defenses: the registry names of the curves to draw; by default all.

    Raises:
        BenchboxError: the run has no such attack, none of the ``defenses``, or no result at all
            on its own datasets.
    """
    cells = measurements_at_home(results, names)
    conditions = shown_conditions(cells, attack)
    places = curve_places(cells.defenses, shown_defenses(cells, defenses))
    lines = sum(2 + _wrapped_title(cells, defense).count("\n") for defense in places)
    height = max(2.5, 0.5 + 0.15 * lines)
    figure = new_figure(2.6 * len(conditions) + 2.3, height * len(cells.groups))
    ratios = [2.6] * len(conditions) + [2.3]
    panels = figure.subplots(
        len(cells.groups), len(ratios), squeeze=False, gridspec_kw={"width_ratios": ratios}
    )
    curves = {
        str(cell): 100 * np.sort(rows["ap"].to_numpy())[::-1]
        for cell, rows in per_id.groupby("cell")
    }
    for row, group in zip(panels, cells.groups, strict=True):
        _draw_row(list(row), cells, group, conditions, curves, places)
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


def _draw_row(
    row: list[Axes],
    cells: Measurements,
    group: Group,
    conditions: list[Condition],
    curves: dict[str, np.ndarray],
    places: dict[str, int],
) -> None:
    """Draw a group: a panel per condition, the legend on the axes that are left over."""
    rows = cells.rows_of(group)
    places = {defense: place for defense, place in places.items() if defense in rows}
    handles = [Line2D([], [], color="none") for _ in places]
    texts = [[literal(_wrapped_title(cells, defense))] for defense in places]
    for axes, condition in zip(row, conditions, strict=False):
        for index, (defense, place) in enumerate(places.items()):
            score = cells.at(group, defense, condition).get(cells.seeds[0])
            values = curves.get(score.cell) if score else None
            texts[index].append(_mean_and_std(values))
            if values is not None:
                colour, dashes = style_of(place)
                ranks = np.arange(1, len(values) + 1)
                style: dict[str, Any] = {"color": colour, "linestyle": dashes}
                (handles[index],) = axes.plot(ranks, values, linewidth=1.3, **style)
        plain_axes(
            axes,
            title="\n".join(
                shortened(text, 31)
                for text in (cells.group_title(group), cells.condition_title(condition))
            ),
            xlabel="Identities, sorted by AP",
            ylabel="AP of identity (%)",
        )
        axes.set_ylim(-2, 102)
        if any(np.size(line.get_xdata()) > 1 for line in axes.lines):
            axes.set_xlim(left=1)
    row[-1].axis("off")
    columns = "  |  ".join(cells.condition_title(condition) for condition in conditions)
    legend = row[-1].legend(
        handles,
        [f"{name}\n{'  |  '.join(numbers)}" for name, *numbers in texts],
        title="Mean ± std over identities,\n" + literal(shortened(columns, 36)),
        fontsize=TEXT_POINTS - 1,
        title_fontsize=TEXT_POINTS - 1,
        alignment="left",
        frameon=False,
        loc="center left",
        bbox_to_anchor=(-0.04, 0.5),
        handlelength=2.4,
    )
    legend.set_in_layout(False)


def _wrapped_title(cells: Measurements, defense: str) -> str:
    return shortened(cells.names.title("defenses", defense), 28)


def _mean_and_std(values: np.ndarray | None) -> str:
    if values is None:
        return "–"
    std = f" ± {values.std(ddof=1):.1f}" if len(values) > 1 else ""
    return f"{values.mean():.1f}{std}"
