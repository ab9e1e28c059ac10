"""The figures of redundancy: how many images of an identity show the same thing again."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from textwrap import fill
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from benchbox.data.decoding import decode_image, in_threads, strict_decoding
from benchbox.data.protocol import ImageRecord
from benchbox.errors import BenchboxError
from benchbox.reports.figures.drawing import (
    OKABE_ITO,
    TEXT_POINTS,
    literal,
    new_figure,
    plain_axes,
)
from benchbox.reports.figures.image_counts import TWO_COLUMNS, dataset_panels, note_in_corner

HASH_BITS = 64
NEAR = 8
"""Hamming distance in bits up to which two hashes are near-duplicates."""

_ROWS_AT_ONCE = 1024  # of a distance matrix, so that memory stays bounded
_ASPECT = 2.0  # a tile's height over its width, as in the usual 256 × 128


class _Group(NamedTuple):
    """An image and its near-duplicates, nearest first; ``distances`` are those to the first."""

    dataset: str
    pid: int
    rows: pd.DataFrame
    distances: list[int]
    size: int
    images: int


def hash_images(records: Mapping[str, Iterable[ImageRecord]], *, threads: int = 1) -> pd.DataFrame:
    """Return the perceptual hash of every image; junk (pid −1) and distractors (0) are left out.

    The hash is pHash (Zauner 2010) as the library imagehash computes it: the image in grey at
    32 × 32 pixels, its 8 × 8 lowest DCT coefficients, a bit each for above their median.

    Args:
        records: dataset title → images of one split.
        threads: how many images are decoded at once.

    Returns:
        ``dataset, pid, camid, path, phash``, a row per image; ``phash`` is 16 hex digits.

    Raises:
        BenchboxError: imagehash is not installed, or an image cannot be read.
    """
    try:
        import imagehash
    except ImportError as error:
        raise BenchboxError(
            "the figures of redundancy need the library imagehash; install it: "
            "pip install 'benchbox-reid[plots]'"
        ) from error

    def phash(record: ImageRecord) -> str:
        image, _ = decode_image(record.path)
        return str(imagehash.phash(image))

    rows: list[tuple[str, int, int, Path, str]] = []
    with strict_decoding():
        for title, images in records.items():
            people = [record for record in images if record.pid > 0]
            hashes = in_threads(phash, people, threads=threads, doing="hashing")
            rows += [
                (title, record.pid, record.camid, record.path, code)
                for record, code in zip(people, hashes, strict=True)
            ]
    return pd.DataFrame(rows, columns=["dataset", "pid", "camid", "path", "phash"])


def near_duplicates(hashes: pd.DataFrame, *, threshold: int = NEAR) -> pd.DataFrame:
    """Return how many images of each identity are near-duplicates of another of its images.

    Args:
        hashes: ``dataset, pid, camid, phash``, as :func:`hash_images` returns them.
        threshold: Hamming distance in bits, of 64, up to which two images are near-duplicates.

    Returns:
        ``dataset, pid, images, near_duplicates, same_camera, share``, a row per identity:
        ``near_duplicates`` counts images with a near-duplicate, ``same_camera`` those with one
        from their own camera, ``share`` is near_duplicates / images.
    """
    rows = []
    for (dataset, pid), images in hashes.groupby(["dataset", "pid"], sort=False):
        near, same = _neighbours(images, threshold=threshold)
        found = int((near > 0).sum())
        rows.append((dataset, pid, len(near), found, int((same > 0).sum()), found / len(near)))
    return pd.DataFrame(
        rows, columns=["dataset", "pid", "images", "near_duplicates", "same_camera", "share"]
    )


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
            title=fill(title, 40, max_lines=2, placeholder="…"),
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


def hamming_distances(codes: Iterable[str], others: Iterable[str]) -> NDArray[np.int64]:
    """Return the number of differing bits between hashes of 16 hex digits, (N, M).

    With bits as ±1 the product of two hashes is 64 − 2 × their distance, exactly in float32.
    """
    first, second = _signs(codes), _signs(others)
    return np.rint((HASH_BITS - first @ second.T) / 2).astype(np.int64)


def _signs(codes: Iterable[str]) -> NDArray[np.float32]:
    content = np.frombuffer(bytes.fromhex("".join(codes)), dtype=np.uint8)
    bits = np.unpackbits(content).reshape(-1, HASH_BITS)
    return bits.astype(np.float32) * 2 - 1


def _neighbours(
    images: pd.DataFrame, *, threshold: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return for each image of an identity how many near-duplicates it has, and in its camera."""
    codes, cameras = images["phash"].to_list(), images["camid"].to_numpy()
    near, same = [], []
    for start in range(0, len(codes), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        close = hamming_distances(codes[rows], codes) <= threshold
        # An image is no duplicate of itself.
        close[np.arange(len(close)), np.arange(len(close)) + start] = False
        near.append(close.sum(axis=1))
        same.append((close & (cameras[rows, None] == cameras)).sum(axis=1))
    return np.concatenate(near), np.concatenate(same)


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
    title = fill(group.dataset, 50, max_lines=1, placeholder="…")
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
