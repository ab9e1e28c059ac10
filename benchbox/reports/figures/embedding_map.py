"""The figure of embeddings: where identities lie, clean and attacked (Zhou et al., Fig. 7)."""

import importlib
import warnings
from collections.abc import Mapping
from textwrap import fill
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import Tensor

from benchbox.errors import BenchboxError
from benchbox.evaluation.retrieval_inputs import read_features
from benchbox.reports.figures.drawing import OKABE_ITO, TEXT_POINTS, literal, new_figure

COLOURS = (*OKABE_ITO, "#882255", "#888888")
MARKERS = "os^DvPX<>p"
NEIGHBOURS = 15
MIN_IMAGES = 3
"""UMAP lays out no fewer; each is there twice, clean and attacked."""

_COLUMNS = ["model", "pid", "state", "x", "y"]
_PER_ROW = 4
_WIDTH = 7.0  # inches, the text width of a page in two columns


def pick_pids(pids: npt.ArrayLike | Tensor, *, identities: int = 10) -> list[int]:
    """Return the identities with the most queries, the most first, ties by pid.

    Args:
        pids: (N,) identity of each query.
        identities: how many at most; the figure tells ten apart.
    """
    values, counts = np.unique(np.asarray(pids), return_counts=True)
    order = np.lexsort((values, -counts))[:identities]
    return [int(pid) for pid in values[order]]


def project(
    embeddings: Mapping[str, tuple[Tensor, Tensor]], pids: npt.ArrayLike | Tensor, *, seed: int = 0
) -> pd.DataFrame:
    """Return each model's embeddings in the plane, clean and adversarial laid out by one UMAP.

    UMAP (McInnes, Healy and Melville 2018) with cosine distances and `NEIGHBOURS` neighbours. The
    same embeddings and seed give the same points on one machine.

    Args:
        embeddings: model title → (clean, adversarial), each (N, D), of the same queries.
        pids: (N,) identity of each query; restrict all of it to a handful, see `pick_pids`.
        seed: of UMAP.

    Returns:
        columns model, pid, state (``clean`` or ``adversarial``), x, y.

    Raises:
        BenchboxError: umap-learn is not installed, there are fewer than `MIN_IMAGES` queries, or
            embeddings do not fit or are not finite.
    """
    labels = np.asarray(pids)
    if labels.ndim != 1 or len(labels) < MIN_IMAGES or labels.dtype.kind not in "iu":
        raise BenchboxError(
            f"pids: the map of embeddings needs {MIN_IMAGES} queries or more, one whole number "
            f"each, got {labels.dtype} of shape {labels.shape}."
        )
    tables = []
    for model, states in embeddings.items():
        clean, adversarial = (
            read_features(f"{state} embeddings of {model}", features).cpu().float().numpy()
            for state, features in zip(("clean", "adversarial"), states, strict=True)
        )
        if not clean.shape == adversarial.shape == (len(labels), clean.shape[1]):
            raise BenchboxError(
                f"embeddings of {model}: expected a clean and an adversarial one for each of the "
                f"{len(labels)} pids, got {clean.shape} and {adversarial.shape}."
            )
        points = _umap(np.concatenate([clean, adversarial]), seed=seed)
        columns = (
            model,
            np.tile(labels, 2),
            np.repeat(["clean", "adversarial"], len(labels)),
            points[:, 0],
            points[:, 1],
        )
        tables.append(pd.DataFrame(dict(zip(_COLUMNS, columns, strict=True))))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=_COLUMNS)


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
    side = min(3.0, _WIDTH / columns)
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


def _umap(features: npt.NDArray[np.float32], *, seed: int) -> npt.NDArray[np.float32]:
    """Return (N, 2) points of (N, D) embeddings."""
    library = _umap_library()
    layout = library.UMAP(
        n_components=2,
        n_neighbors=min(NEIGHBOURS, len(features) - 1),
        metric="cosine",
        random_state=seed,
        n_jobs=1,
    )
    with warnings.catch_warnings():
        # Few points: the spectral start says that it takes the dense solver.
        warnings.filterwarnings("ignore", message="k >= N for N", category=RuntimeWarning)
        points: npt.NDArray[np.float32] = layout.fit_transform(features)
    return points


def _umap_library() -> Any:
    """Import umap, which takes seconds, where it is used."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Tensorflow not", category=ImportWarning)
            return importlib.import_module("umap")
    except ImportError as error:
        raise BenchboxError(
            f"the map of embeddings needs the library umap-learn ({error}): "
            "pip install 'benchbox-reid[plots]'."
        ) from error


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
