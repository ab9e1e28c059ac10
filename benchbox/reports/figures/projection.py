"""Embeddings in the plane, laid out by UMAP."""

import importlib
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from torch import Tensor

from benchbox.errors import BenchboxError
from benchbox.evaluation.retrieval_inputs import read_features

NEIGHBOURS = 15
MIN_IMAGES = 3
"""UMAP lays out no fewer; each is there twice, clean and attacked."""

_COLUMNS = ["model", "pid", "state", "x", "y"]


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
            f"the map of embeddings needs the library umap-learn ({error}): pip install umap-learn."
        ) from error
