"""How figures show a defense: its curve, its marker, its place in the legend."""

import math
import statistics
from collections.abc import Sequence
from typing import Any

from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure

from benchbox.errors import BenchboxError
from benchbox.reports.figures.drawing import (
    OKABE_ITO,
    TEXT_POINTS,
    literal,
    shortened,
    style_of,
)
from benchbox.results.measurements import Measurements, Score

MARKERS = ("o", "s", "^", "D", "v", "X", "P", "<", ">", "d")
"""Shapes that are told apart without colour."""

_LETTER = 0.062  # inches a letter takes at most of our small text, on average
_LINE = 0.13  # inches from one line of it to the next


def shown_defenses(cells: Measurements, defenses: Sequence[str] | None) -> list[str]:
    """Return the chosen defenses in the order of the table; all where none are chosen.

    Raises:
        BenchboxError: none of them is in the run.
    """
    shown = [d for d in cells.defenses if defenses is None or d in defenses]
    if not shown:
        raise BenchboxError(
            f"results.csv: no cell of {', '.join(map(repr, defenses or ()))}. "
            f"It holds: {', '.join(cells.defenses)}."
        )
    return shown


def curve_places(every: Sequence[str], shown: Sequence[str]) -> dict[str, int]:
    """Return which curve's looks each shown defense has.

    A defense looks as in the figures that show them all, unless two of the shown would share a
    colour: then they are numbered anew.

    Args:
        every: all defenses of the run, in order.
        shown: those of them in the figure.
    """
    places = {name: every.index(name) for name in shown}
    colours = {place % len(OKABE_ITO) for place in places.values()}
    if len(colours) < min(len(shown), len(OKABE_ITO)):
        return {name: place for place, name in enumerate(shown)}
    return places


def curve_style(index: int) -> dict[str, Any]:
    """Return colour, dashes and marker of the ``index``-th curve; hollow from the 11th on."""
    colour, dashes = style_of(index)
    hollow = (index // len(MARKERS)) % 2
    return {
        "color": colour,
        "linestyle": dashes,
        "linewidth": 1.2,
        "marker": MARKERS[index % len(MARKERS)],
        "markersize": 4.5,
        "markeredgewidth": 0.8 if hollow else 0.3,
        "markerfacecolor": "white" if hollow else colour,
        "markeredgecolor": colour if hollow else "white",
    }


def legend_below(
    figure: Figure, containers: Sequence[ErrorbarContainer], titles: Sequence[str]
) -> None:
    """Make a figure higher by a legend under it, in as many columns as fit."""
    # Matplotlib's types do not know that a legend takes containers.
    handles: list[Any] = list(containers)
    texts = [literal(shortened(title, 26)) for title in titles]
    longest = max(len(line) for text in texts for line in text.splitlines() or [""])
    columns = int(figure.get_figwidth() / (0.5 + _LETTER * longest))
    columns = max(1, min(columns, len(texts)))
    # A column is as high as its entries, of one or two lines, are together.
    lines = [1.25 + 0.85 * text.count("\n") for text in texts]
    per_column = -(-len(texts) // columns)
    high = max(sum(lines[i : i + per_column]) for i in range(0, len(lines), per_column))
    figure.set_figheight(figure.get_figheight() + _LINE * high + 0.15)
    figure.legend(
        handles,
        texts,
        loc="outside lower center",
        ncols=columns,
        fontsize=TEXT_POINTS - 1,
        frameon=False,
        handlelength=2.6,
        columnspacing=1.2,
    )


def over_seeds(scores: Sequence[Score]) -> tuple[float, float]:
    """Return mean and sample standard deviation (n − 1) of mAP in %.

    The mean is NaN where nothing was measured, the deviation 0 with fewer than two seeds: a
    whisker without length.
    """
    values = [score.mAP for score in scores]
    mean = statistics.fmean(values) if values else math.nan
    return mean, statistics.stdev(values) if len(values) > 1 else 0.0
