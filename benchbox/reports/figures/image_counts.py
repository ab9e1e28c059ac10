"""The figure of image counts: how unevenly a dataset's identities are photographed."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from benchbox.data.protocol import ImageRecord
from benchbox.errors import BenchboxError
from benchbox.reports.figures.drawing import (
    OKABE_ITO,
    TEXT_POINTS,
    new_panels,
    plain_axes,
    shortened,
)
from benchbox.statistics.fairness import gini


def count_images(records: Mapping[str, Iterable[ImageRecord]]) -> pd.DataFrame:
    """Return how many images each identity has; junk (pid −1) and distractors (0) are nobody's.

    Args:
        records: dataset title → images of one split.

    Returns:
        ``dataset, pid, images``, a row per identity, datasets in the order given, then by pid.
    """
    rows: dict[tuple[str, int], int] = {}
    for title, images in records.items():
        for pid in sorted(record.pid for record in images if record.pid > 0):
            rows[title, pid] = rows.get((title, pid), 0) + 1
    return pd.DataFrame(
        [(title, pid, count) for (title, pid), count in rows.items()],
        columns=["dataset", "pid", "images"],
    )


def images_per_identity(counts: pd.DataFrame) -> Figure:
    """Return the number of training images of every identity, sorted, a panel per dataset.

    After Zhou et al. 2025, Fig. 1. The dashed line is the mean; CV is the sample standard
    deviation (n − 1) over the mean, Gini the coefficient of
    :func:`benchbox.statistics.fairness.gini`. Both are 0 where all identities have equally many.

    Args:
        counts: ``dataset`` (title), ``pid``, ``images`` of the training split, a row per identity.

    Raises:
        BenchboxError: there is no row.
    """
    figure, panels = dataset_panels(list(dict.fromkeys(counts["dataset"])), height=2.1)
    for title, axes in panels.items():
        images = counts.loc[counts["dataset"] == title, "images"].to_numpy(dtype=np.float64)
        _draw_counts(axes, np.sort(images)[::-1])
        plain_axes(
            axes,
            title=shortened(title, 40),
            xlabel="Identity, sorted by its number of images",
            ylabel="Training images of identity",
        )
    return figure


def dataset_panels(titles: Sequence[str], *, height: float) -> tuple[Figure, dict[str, Axes]]:
    """Return a figure as wide as a column, or two, with a panel per dataset.

    Args:
        titles: the datasets, without repeats.
        height: of a row of panels, inches.

    Raises:
        BenchboxError: there is no dataset.
    """
    if not titles:
        raise BenchboxError("no images to draw a figure of. Is the dataset empty?")
    figure, panels = new_panels(len(titles), height=height)
    return figure, dict(zip(titles, panels, strict=True))


def note_in_corner(axes: Axes, text: str) -> None:
    """Write what bars amount to into the panel's upper right corner, legible over a grid."""
    axes.text(
        0.98,
        0.98,
        text,
        transform=axes.transAxes,
        ha="right",
        va="top",
        fontsize=TEXT_POINTS - 1,
        linespacing=1.3,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.5},
    )


def _draw_counts(axes: Axes, images: np.ndarray) -> None:
    """Draw counts that fall, and say what they amount to above them."""
    n, mean = len(images), images.mean()
    axes.stairs(images, np.arange(n + 1) + 0.5, fill=True, color=OKABE_ITO[5], linewidth=0)
    axes.axhline(mean, color="0.1", linewidth=1.1, linestyle=(0, (5, 1.5)))
    variation = f"{images.std(ddof=1) / mean:.2f}" if n > 1 else "–"
    note_in_corner(
        axes,
        f"{n:,} identities, {int(images.sum()):,} images\n"
        f"mean {mean:.1f} (dashed), min {images.min():.0f}, max {images.max():.0f}\n"
        f"Gini {gini(images):.2f}, CV {variation}",
    )
    axes.set_xlim(0.5, n + 0.5)
    # Room for the text above counts that hardly fall.
    axes.set_ylim(0, 1.6 * images.max())
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
