"""The figures of redundancy: how many images of an identity show the same thing again."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchbox.data.decoding import decode_image, strict_decoding
from benchbox.reports.figures.drawing import (
    OKABE_ITO,
    TEXT_POINTS,
    TWO_COLUMNS,
    literal,
    new_figure,
    plain_axes,
    shortened,
)
from benchbox.reports.figures.image_counts import dataset_panels, note_in_corner
from benchbox.reports.figures.near_duplicates import HASH_BITS, NEAR, _neighbours, hamming_distances

_ASPECT = 2.0  # a tile's height over its width, as in the usual 256 × 128


class _Group(NamedTuple):
    """An image and its near-duplicates, nearest first; ``distances`` are those to the first."""

    dataset: str
    pid: int
    rows: pd.DataFrame
    distances: list[int]
    size: int
    images: int


def redundancy(frame: pd.DataFrame) -> Figure:
    """Return how identities differ in their share of near-duplicates, a panel per dataset.

    After Zhou et al. 2025, Fig. 3, which shows examples. Bars are identities in % of the
    dataset's, by the share of their images that have a near-duplicate among the same identity's.

    Args:
        frame: as :func:`near_duplicates` returns it.

    Raises:
        BenchboxError: there is no row.
    """
    figure, panels = dataset_panels(list(dict.fromkeys(frame["dataset"])), height=2.2)
    for title, axes in panels.items():
        _draw_shares(axes, frame.loc[frame["dataset"] == title])
        plain_axes(
            axes,
            title=shortened(title, 40),
            xlabel="Near-duplicates among an identity's images (%)",
            ylabel="Identities (%)",
        )
    return figure


def redundancy_montage(
    hashes: pd.DataFrame, *, threshold: int = NEAR, groups: int = 2, images: int = 8
) -> Figure:
    """Return the most redundant images side by side, their Hamming distances under them.

    A row is an image and its near-duplicates, nearest first, with their distances to the first.
    For each dataset the images with the most near-duplicates are shown, one an identity; on a tie
    the lower pid.

    Args:
        hashes: as :func:`hash_images` returns them; the images are read from ``path``.
        threshold: Hamming distance in bits, of 64, up to which two images are near-duplicates.
        groups: rows per dataset at most.
        images: images per row at most.

    Raises:
        BenchboxError: an image cannot be read.
    """
    shown: list[_Group] = []
    for dataset in dict.fromkeys(hashes["dataset"]):
        own = hashes.loc[hashes["dataset"] == dataset]
        found = [_group(dataset, pid, rows, threshold) for pid, rows in own.groupby("pid")]
        found = [group for group in found if group.size > 1]
        shown += sorted(found, key=lambda group: (-group.size, group.pid))[:groups]
    if not shown:
        figure = new_figure(TWO_COLUMNS, 0.6)
        text = f"No two images of an identity within {threshold} of {HASH_BITS} bits."
        figure.text(0.5, 0.5, text, ha="center", va="center", fontsize=TEXT_POINTS)
        return figure
    height = TWO_COLUMNS / images * _ASPECT + 0.55
    figure = new_figure(TWO_COLUMNS, height * len(shown))
    grid = figure.subplots(len(shown), images, squeeze=False)
    with strict_decoding():
        for row, group in zip(grid, shown, strict=True):
            _draw_group(list(row), group)
    return figure


def _group(dataset: str, pid: Any, rows: pd.DataFrame, threshold: int) -> _Group:
    """Return the image of an identity with the most near-duplicates, and those."""
    near, _ = _neighbours(rows, threshold=threshold)
    centre = int(near.argmax())
    codes = rows["phash"].to_list()
    distances = hamming_distances([codes[centre]], codes)[0]
    distances[centre] = -1  # first, even where another image has the same hash
    order = np.argsort(distances, kind="stable")
    order = order[distances[order] <= threshold]
    to_first = [0, *distances[order][1:].tolist()]
    return _Group(dataset, int(pid), rows.iloc[order], to_first, len(order), len(rows))


def _draw_shares(axes: Axes, rows: pd.DataFrame) -> None:
    share = 100 * rows["share"].to_numpy(dtype=np.float64)
    bars, edges = np.histogram(share, bins=10, range=(0, 100))
    axes.stairs(
        100 * bars / len(share), edges, fill=True, facecolor=OKABE_ITO[5], edgecolor="white"
    )
    axes.axvline(share.mean(), ymax=0.68, color="0.1", linewidth=1.1, linestyle=(0, (5, 1.5)))
    images = int(rows["images"].sum())
    near, same = (
        100 * rows[column].sum() / images for column in ("near_duplicates", "same_camera")
    )
    note_in_corner(
        axes,
        f"mean of {len(share):,} identities {share.mean():.1f} % (dashed)\n"
        f"{near:.1f} % of {images:,} images have a near-duplicate,\n"
        f"{same:.1f} % one from the same camera",
    )
    axes.set_xlim(0, 100)
    # Room for the text above the bars.
    axes.set_ylim(0, 1.6 * 100 * bars.max() / len(share))


def _draw_group(row: list[Axes], group: _Group) -> None:
    for axes in row:
        axes.axis("off")
    title = shortened(group.dataset, 50, lines=1)
    # The title keeps the room for the line, which is wider than its image and must not widen it.
    row[0].set_title(" ", fontsize=TEXT_POINTS)
    line = row[0].text(
        0,
        1.03,
        literal(
            f"{title}, pid {group.pid}: an image and its {group.size - 1} near-duplicates, "
            f"of {group.images} images"
        ),
        transform=row[0].transAxes,
        fontsize=TEXT_POINTS,
    )
    line.set_in_layout(False)
    shown = group.rows.head(len(row))
    for axes, path, camera, distance in zip(
        row, shown["path"], shown["camid"], group.distances, strict=False
    ):
        image, _ = decode_image(Path(path))
        axes.imshow(np.asarray(image), aspect="auto")
        first = axes is row[0]
        axes.text(
            0.5,
            -0.03,
            f"{'first' if first else f'{distance} bits'}\ncamera {camera}",
            transform=axes.transAxes,
            ha="center",
            va="top",
            fontsize=TEXT_POINTS - 1,
        )
