"""The figure of corruptions: how mAP falls with the severity of each."""

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from attacks.corruptions.titles import TITLES
from benchbox.errors import BenchboxError
from benchbox.reports.figures.curves import curve_style, legend_below
from benchbox.reports.figures.drawing import (
    TEXT_POINTS,
    TWO_COLUMNS,
    literal,
    new_figure,
    plain_axes,
    shortened,
)
from benchbox.results.conditions import CLEAN
from benchbox.results.corrupted_scores import Swept, swept_scores
from benchbox.results.measurements import Group, Measurements, measurements
from benchbox.results.record import Names

_COLUMNS = 5


def corruption_curves(swept: pd.DataFrame, results: pd.DataFrame, names: Names) -> Figure:
    """Return mAP (%) over the severity, 0 being clean, a panel per corruption.

    A block of panels per group, a curve per defense; all panels have one vertical axis. Queries
    are corrupted, the gallery is clean. With several seeds a point is their mean.

    Args:
        swept: corruption.csv.
        results: results.csv, for the clean points.
        names: titles and order.

    Raises:
        BenchboxError: no model was tested on the dataset it was trained on.
    """
    scores = swept_scores(swept, names, pairs="same")
    if not scores.groups:
        raise BenchboxError("corruption.csv: no model was tested on the dataset it was trained on.")
    clean = measurements(results, names)
    columns = min(_COLUMNS, len(scores.kinds))
    rows = -(-len(scores.kinds) // columns)
    figure = new_figure(TWO_COLUMNS, (0.3 + 1.05 * rows) * len(scores.groups))
    blocks = figure.subfigures(len(scores.groups), 1, squeeze=False)[:, 0]
    for block, group in zip(blocks, scores.groups, strict=True):
        title = shortened(" · ".join(scores.group_titles(group)), 60, lines=1)
        block.suptitle(literal(title), fontsize=TEXT_POINTS + 1, x=0.01, ha="left")
        grid = block.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        panels = grid.flatten()
        for axes, kind in zip(panels, scores.kinds, strict=False):
            _draw_panel(axes, scores, clean, group, kind)
        for left_over in panels[len(scores.kinds) :]:
            left_over.set_visible(False)
        grid[0, 0].set_ylim(bottom=0)
        grid[rows - 1, 0].set_ylabel("mAP (%)", fontsize=TEXT_POINTS - 1)
        grid[rows - 1, 0].set_xlabel("Severity (0: clean)", fontsize=TEXT_POINTS - 1)
    first = blocks[0].axes[0]
    handles = [first.errorbar([], [], **curve_style(i)) for i in range(len(scores.defenses))]
    legend_below(figure, handles, [names.title("defenses", d) for d in scores.defenses])
    return figure


def _draw_panel(axes: Axes, scores: Swept, clean: Measurements, group: Group, kind: str) -> None:
    for place, defense in enumerate(scores.defenses):
        by_seed = clean.at(group, defense, CLEAN).values()
        start = sum(score.mAP for score in by_seed) / len(by_seed) if by_seed else math.nan
        points = [scores.mean(group, defense, [kind], [severity]) for severity in scores.severities]
        values = [start, *(math.nan if point is None else point for point in points)]
        style = {**curve_style(place), "markersize": 2.5, "linewidth": 1.0}
        axes.plot([0, *scores.severities], values, **style)
    plain_axes(axes, title=TITLES[kind], xlabel="", ylabel="")
    axes.set_title(axes.get_title(loc="left"), fontsize=TEXT_POINTS - 1, loc="left", pad=3)
    axes.set_xticks([0, *scores.severities])
    axes.tick_params(labelsize=TEXT_POINTS - 2, length=2)
