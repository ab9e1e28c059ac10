"""What all figures share: colours, lines, and how they are saved."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from textwrap import fill

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchbox.files.atomic import write_bytes

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#B8A800")
"""Okabe and Ito's colours, told apart with any colour vision; the yellow darkened for white."""

LINES: tuple[tuple[float, tuple[float, ...]], ...] = (
    (0, ()),
    (0, (5, 1.5)),
    (0, (1.2, 1.2)),
    (0, (6, 1.5, 1.2, 1.5)),
)
"""Dashes, so that curves are told apart in black and white too."""

ONE_COLUMN, TWO_COLUMNS = 3.3, 7.0
"""Widths of a figure on a page of two columns, inches."""

TEXT_POINTS = 8
DOTS_PER_INCH = 200


def style_of(index: int) -> tuple[str, tuple[float, tuple[float, ...]]]:
    """Return colour and dashes of the ``index``-th curve; 32 differ."""
    cycle = index // len(OKABE_ITO)
    return OKABE_ITO[index % len(OKABE_ITO)], LINES[(index + cycle) % len(LINES)]


def literal(text: str) -> str:
    """Return the text as matplotlib prints it literally: no formula, no hidden legend entry."""
    return (" " if text.startswith("_") else "") + text.replace("$", r"\$")


def shortened(text: str, width: int, *, lines: int = 2) -> str:
    """Return the text on so many lines of so many letters at most, ``…`` for what is left out."""
    return fill(text, width, max_lines=lines, placeholder="…")


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of so many inches, apart from pyplot's global state."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def new_panels(count: int, *, height: float) -> tuple[Figure, list[Axes]]:
    """Return a figure of one panel as wide as a column, or of several in two columns.

    Args:
        count: how many panels, at least one.
        height: of a row of panels, inches.
    """
    columns = min(2, count)
    rows = -(-count // columns)
    figure = new_figure((ONE_COLUMN, TWO_COLUMNS)[columns - 1], height * rows)
    grid = list(figure.subplots(rows, columns, squeeze=False).flatten())
    for left_over in grid[count:]:
        left_over.set_visible(False)
    return figure, grid[:count]


def plain_axes(axes: Axes, *, title: str, xlabel: str, ylabel: str) -> None:
    """Give axes their texts, a light horizontal grid and no box."""
    axes.set_title(literal(title), fontsize=TEXT_POINTS + 1, loc="left")
    axes.set_xlabel(xlabel, fontsize=TEXT_POINTS)
    axes.set_ylabel(ylabel, fontsize=TEXT_POINTS)
    axes.tick_params(labelsize=TEXT_POINTS)
    axes.grid(axis="y", color="0.85", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def save_figure(figure: Figure, path: Path) -> list[Path]:
    """Write a figure as PNG at ``path`` and as SVG beside it, each atomically.

    Returns:
        both paths, PNG first.

    Raises:
        BenchboxError: the folder or a file cannot be written.
    """
    written: Sequence[tuple[Path, dict[str, str | None]]] = (
        (path.with_suffix(".png"), {}),
        (path.with_suffix(".svg"), {"Date": None}),
    )
    for target, metadata in written:
        content = BytesIO()
        # A fixed salt and no date: the same numbers give the same file.
        with matplotlib.rc_context({"svg.hashsalt": "benchbox"}):
            figure.savefig(content, format=target.suffix[1:], dpi=DOTS_PER_INCH, metadata=metadata)
        write_bytes(target, content.getvalue())
    return [target for target, _ in written]
