"""The figure of budgets: how mAP falls as an attack may change more."""

import math
from collections.abc import Sequence
from itertools import groupby

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation

from benchbox.errors import BenchboxError
from benchbox.reports.figures.curves import (
    curve_style,
    legend_below,
    over_seeds,
    shown_defenses,
)
from benchbox.reports.figures.drawing import (
    TEXT_POINTS,
    TWO_COLUMNS,
    literal,
    new_figure,
    plain_axes,
    shortened,
)
from benchbox.results.conditions import CLEAN, Condition, fraction_of_255
from benchbox.results.measurements import Group, Measurements, measurements_at_home
from benchbox.results.record import Names

_COLUMNS = 4  # of panels at most; more would leave no room for ticks
_ASIDE_POINTS = 2.0  # between curves at one budget
_APART = 0.35  # of the largest budget: room for a label of a narrow panel


def budget_curves(
    results: pd.DataFrame, names: Names, *, defenses: Sequence[str] | None = None
) -> Figure:
    """Return mAP (%) over the L∞ budget, from 0 (clean) to the largest, a panel per defense.

    Small multiples: the curves of many defenses lie on one another, those of the few attacks on
    one defense do not. A block of panels per group, a curve per attack; an attack run with several
    numbers of steps or step sizes has a curve for each. All panels have one vertical axis. With
    several seeds a point is their mean and its whisker one sample standard deviation (n − 1). A
    budget without a result interrupts the curve.

    Args:
        results: results.csv.
        names: titles and order.
        defenses: the registry names to show; by default all.

    Raises:
        BenchboxError: no model was tested on the dataset it was trained on, none of the
            ``defenses`` is in the run, or it holds no attack.
    """
    cells = measurements_at_home(results, names)
    shown = shown_defenses(cells, defenses)
    ladders = attack_ladders(cells)
    rows_per_group = -(-len(shown) // _COLUMNS)
    columns = -(-len(shown) // rows_per_group)  # as few as the rows take
    rows = rows_per_group * len(cells.groups)
    figure = new_figure(2.8 if columns == 1 else TWO_COLUMNS, 1.6 * rows)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for number, group in enumerate(cells.groups):
        panels = grid[number * rows_per_group : (number + 1) * rows_per_group].flatten()
        for axes, defense in zip(panels, shown, strict=False):
            _draw_panel(figure, axes, cells, group, defense, ladders)
        for left_over in panels[len(shown) :]:
            left_over.set_visible(False)
        # The group stands once, over its first panel; the others keep its line free.
        panels[0].set_title(
            f"{literal(shortened(cells.group_title(group), 60, lines=1))}\n"
            f"{panels[0].get_title(loc='left')}",
            fontsize=TEXT_POINTS,
            loc="left",
        )
    grid[0, 0].set_ylim(bottom=-1.5)  # whole markers at 0 too
    # Curves without points: the legend names all attacks, measured or not.
    handles = [
        grid[0, 0].errorbar([], [], yerr=[], **curve_style(place)) for place in range(len(ladders))
    ]
    legend_below(figure, handles, [_ladder_title(cells, ladder) for ladder in ladders])
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


def _draw_panel(
    figure: Figure,
    axes: Axes,
    cells: Measurements,
    group: Group,
    defense: str,
    ladders: Sequence[list[Condition]],
) -> None:
    for place, ladder in enumerate(ladders):
        points = [over_seeds([*cells.at(group, defense, c).values()]) for c in ladder]
        if all(math.isnan(mean) for mean, _ in points):
            continue
        means, deviations = zip(*points, strict=True)
        curve = axes.errorbar(
            [condition.eps_255 for condition in ladder],
            means,
            yerr=deviations if any(deviations) else None,
            elinewidth=0.7,
            capsize=1.5,
            **{**curve_style(place), "markersize": 3.5},
        )
        # Side by side on paper, so that equal curves are seen as several; the data stay.
        aside = (place - (len(ladders) - 1) / 2) * _ASIDE_POINTS / 72
        shift = ScaledTranslation(aside, 0, figure.dpi_scale_trans)
        for artist in curve.get_children():
            artist.set_transform(artist.get_transform() + shift)
    plain_axes(
        axes,
        title=shortened(cells.names.title("defenses", defense), 24, lines=1),
        xlabel="L∞ budget (0: clean)",
        ylabel="mAP (%)",
    )
    axes.set_title(axes.get_title(loc="left"), fontsize=TEXT_POINTS, loc="left")
    axes.label_outer(remove_inner_ticks=False)
    axes.tick_params(labelbottom=True)
    ticks = _ticks([condition.eps_255 for ladder in ladders for condition in ladder])
    labels = [fraction_of_255(tick) if tick else "0" for tick in ticks]
    axes.set_xticks(ticks, labels, fontsize=TEXT_POINTS - 1)


def _ladder_title(cells: Measurements, ladder: list[Condition]) -> str:
    """Return attack and steps, with the step size where that alone tells two panels apart."""
    attack, steps, size = ladder[-1].attack, ladder[-1].steps, ladder[-1].step_size_255
    sizes = {c.step_size_255 for c in cells.conditions if (c.attack, c.steps) == (attack, steps)}
    by = f" of {fraction_of_255(size)}" if len(sizes) > 1 else ""
    title = shortened(cells.names.title("attacks", attack), 20, lines=1)
    # An attack that chooses its own steps records none.
    return f"{title}, {steps} steps{by}" if steps else title


def _ticks(budgets: Sequence[float]) -> list[float]:
    """Return 0, the largest budget, and of the others those whose labels have room."""
    largest = max(budgets)
    ticks = [largest, 0.0]
    for budget in sorted(budgets, reverse=True):
        if all(abs(budget - tick) >= _APART * largest for tick in ticks):
            ticks.append(budget)
    return sorted(ticks)
