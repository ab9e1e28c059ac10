"""The figure of embeddings: where identities lie, clean and attacked (Zhou et al., Fig. 7)."""

from textwrap import fill

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchbox.errors import BenchboxError
from benchbox.reports.figures.drawing import (
    OKABE_ITO,
    TEXT_POINTS,
    TWO_COLUMNS,
    literal,
    new_figure,
)
from benchbox.reports.figures.projection import NEIGHBOURS

COLOURS = (*OKABE_ITO, "#882255", "#888888")
MARKERS = "os^DvPX<>p"

_PER_ROW = 4


def embedding_map(points: pd.DataFrame) -> Figure:
    """Return a panel per model: colour and marker tell the identity, filled is clean.

    Args:
        points: from `project`, of up to ten identities.

    Raises:
        BenchboxError: there are no points, or more identities than can be told apart.
    """
    models = list(dict.fromkeys(points["model"]))
    pids = sorted(set(points["pid"]))
    if not models or len(pids) > len(COLOURS):
        raise BenchboxError(
            f"the map of embeddings shows 1 to {len(COLOURS)} identities, got {len(pids)}: "
            "choose some with pick_pids."
        )
    columns = min(_PER_ROW, len(models))
    rows = -(-len(models) // columns)
    side = min(3.0, TWO_COLUMNS / columns)
    figure = new_figure(side * columns, (side + 0.15) * rows + 0.3)
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes, model in zip(panels, models, strict=False):
        _draw(axes, points[points["model"] == model], pids)
        axes.set_title(literal(fill(model, int(13 * side))), fontsize=TEXT_POINTS + 1, loc="left")
    for axes in panels[len(models) :]:
        axes.axis("off")
    figure.legend(
        handles=[
            _mark("clean query", "o", face="0.35"),
            _mark("attacked query", "o", face="none"),
        ],
        loc="outside upper left",
        ncols=2,
        fontsize=TEXT_POINTS,
        frameon=False,
        handletextpad=0.2,
        columnspacing=1.2,
    )
    return figure


def embedding_map_caption(points: pd.DataFrame) -> str:
    """Return what has to stand below the figure, so that nobody reads more into it."""
    pids = points["pid"].nunique()
    queries = int((points["state"] == "clean").sum() / max(1, points["model"].nunique()))
    return (
        f"{queries} queries of the {pids} identities with the most queries; colour and marker tell "
        "the identity, filled is clean, hollow is attacked. Each panel is one UMAP (cosine, "
        f"{min(NEIGHBOURS, 2 * queries - 1)} neighbours) of clean and attacked embeddings "
        "together. UMAP keeps neighbourhoods: distances between groups, their sizes and the axes "
        "are not to scale, within a panel and between panels."
    )


def _draw(axes: Axes, points: pd.DataFrame, pids: list[int]) -> None:
    for place, pid in enumerate(pids):
        mine = points[points["pid"] == pid]
        # Hollow ones lie on top: they hide nothing that they surround.
        for state, filled in (("clean", True), ("adversarial", False)):
            shown = mine[mine["state"] == state]
            colour = COLOURS[place]
            axes.scatter(
                shown["x"],
                shown["y"],
                s=16,
                marker=MARKERS[place],
                facecolors=colour if filled else "none",
                edgecolors=colour,
                linewidths=0.8,
                zorder=2 if filled else 3,
            )
    axes.set_xlabel("UMAP 1", fontsize=TEXT_POINTS)
    axes.set_ylabel("UMAP 2", fontsize=TEXT_POINTS)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[["top", "right"]].set_visible(False)


def _mark(label: str, marker: str, *, face: str) -> Line2D:
    return Line2D(
        [],
        [],
        linestyle="none",
        marker=marker,
        markersize=5,
        markerfacecolor=face,
        markeredgecolor="0.35",
        label=label,
    )
