"""Near-duplicates among the images of an identity, by perceptual hash."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchbox.data.decoding import decode_image, in_threads, strict_decoding
from benchbox.data.protocol import ImageRecord
from benchbox.errors import BenchboxError

HASH_BITS = 64
NEAR = 8
"""Hamming distance in bits up to which two hashes are near-duplicates."""

_ROWS_AT_ONCE = 1024  # of a distance matrix, so that memory stays bounded


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
            "pip install imagehash"
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
