"""The figure of budgets: how mAP falls as an attack may change more."""

import math
from collections.abc import Mapping, Sequence
from itertools import groupby

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchbox.errors import BenchboxError
from benchbox.reports.figures.curves import (
    curve_places,
    curve_style,
    defense_legend,
    over_seeds,
    shown_defenses,
)
from benchbox.reports.figures.drawing import (
    TEXT_POINTS,
    TWO_COLUMNS,
    new_figure,
    plain_axes,
    shortened,
)
from benchbox.results.conditions import CLEAN, Condition, fraction_of_255
from benchbox.results.measurements import Group, Measurements, measurements_at_home
from benchbox.results.record import Names

_COLUMNS = 3  # of panels; more would leave no room for ticks


def budget_curves(
    results: pd.DataFrame, names: Names, *, defenses: Sequence[str] | None = None
) -> Figure:
    """Return mAP (%) over the L∞ budget, from 0 (clean) to the largest, a curve per defense.

    A panel per group and attack; an attack run with several numbers of steps or step sizes has a
    panel for each. With several seeds a point is their mean and its whisker one sample standard
    deviation (n − 1). A budget without a result interrupts the curve.

    Args:
        results: results.csv.
        names: titles and order.
        defenses: the registry names to show; by default all.

    Raises:
        BenchboxError: no model was tested on the dataset it was trained on, none of the
            ``defenses`` is in the run, or it holds no attack.
    """
    cells = measurements_at_home(results, names)
    places = curve_places(cells.defenses, shown_defenses(cells, defenses))
    ladders = attack_ladders(cells)
    columns = min(_COLUMNS, len(ladders))
    rows_per_group = -(-len(ladders) // columns)
    rows = rows_per_group * len(cells.groups)
    width = 2.8 if columns == 1 else TWO_COLUMNS
    figure = new_figure(width, 1.95 * rows)
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for number, group in enumerate(cells.groups):
        panels = grid[number * rows_per_group : (number + 1) * rows_per_group].flatten()
        for axes, ladder in zip(panels, ladders, strict=False):
            _draw_ladder(axes, cells, group, ladder, places)
        for left_over in panels[len(ladders) :]:
            left_over.set_visible(False)
    grid[0, 0].set_ylim(bottom=-1.5)  # whole markers at 0 too
    # Curves without points: the legend names all defenses, measured or not.
    handles = [grid[0, 0].errorbar([], [], yerr=[], **curve_style(p)) for p in places.values()]
    defense_legend(figure, handles, [names.title("defenses", d) for d in places])
    return figure


def attack_ladders(cells: Measurements) -> list[list[Condition]]:
    """Return the conditions that differ by budget alone, each from clean to the largest budget.

    Raises:
        BenchboxError: the run holds no attack.
    """

    def kind(condition: Condition) -> tuple[int, int, float]:
        return attacks.index(condition.attack), condition.steps, condition.step_size_255

    attacked = [c for c in cells.conditions if not c.is_clean]
    attacks = list(dict.fromkeys(c.attack for c in attacked))
    ladders = [[CLEAN, *same] for _, same in groupby(sorted(attacked, key=kind), key=kind)]
    if not ladders:
        raise BenchboxError("results.csv: no cell under an attack, so there is no budget to show.")
    return ladders


def _draw_ladder(
    axes: Axes,
    cells: Measurements,
    group: Group,
    ladder: list[Condition],
    places: Mapping[str, int],
) -> None:
    budgets = [condition.eps_255 for condition in ladder]
    for defense, place in places.items():
        points = [over_seeds([*cells.at(group, defense, c).values()]) for c in ladder]
        if all(math.isnan(mean) for mean, _ in points):
            continue
        means, deviations = zip(*points, strict=True)
        axes.errorbar(
            budgets,
            means,
            yerr=deviations if any(deviations) else None,
            elinewidth=0.7,
            capsize=1.5,
            **curve_style(place),
        )
    group_title = shortened(cells.group_title(group), 27)
    plain_axes(
        axes,
        title=f"{group_title}\n{_ladder_title(cells, ladder)}",
        xlabel="L∞ budget ε (0: clean)",
        ylabel="mAP (%)",
    )
    axes.label_outer(remove_inner_ticks=False)
    axes.set_xlabel("L∞ budget ε (0: clean)")
    axes.tick_params(labelbottom=True)
    ticks = _ticks(budgets)
    labels = [fraction_of_255(tick) if tick else "0" for tick in ticks]
    axes.set_xticks(ticks, labels, fontsize=TEXT_POINTS - 1)


def _ladder_title(cells: Measurements, ladder: list[Condition]) -> str:
    """Return attack and steps, with the step size where that alone tells two panels apart."""
    attack, steps, size = ladder[-1].attack, ladder[-1].steps, ladder[-1].step_size_255
    sizes = {c.step_size_255 for c in cells.conditions if (c.attack, c.steps) == (attack, steps)}
    by = f" of {fraction_of_255(size)}" if len(sizes) > 1 else ""
    title = shortened(cells.names.title("attacks", attack), 20, lines=1)
    return f"{title}, {steps} steps{by}"


def _ticks(budgets: Sequence[float]) -> list[float]:
    """Return 0, the largest budget, and of the others those whose labels have room."""
    largest = max(budgets)
    ticks = [largest, 0.0]
    for budget in sorted(budgets, reverse=True):
        if all(abs(budget - tick) >= 0.2 * largest for tick in ticks):
            ticks.append(budget)
    return sorted(ticks)
