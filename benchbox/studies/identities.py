"""Identities as classes: images of every training identity held out as test images."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence

from benchbox.data.protocol import ImageRecord
from benchbox.errors import BenchboxError

SHARE = 1 / 3
"""The share of an identity's images that is held out."""

Split = tuple[tuple[ImageRecord, ...], tuple[ImageRecord, ...]]


def hold_out_images(
    records: Sequence[ImageRecord], *, share: float = SHARE, seed: int = 0
) -> Split:
    """Return (training, held-out) images; every identity stays in training.

    Of an identity's n images round(share · n) are held out, but at least one where n ≥ 2 and
    never all. Which, is settled by a digest of (seed, image) alone. Held-out images come from the
    same cameras and moments as training images: this is closed-set recognition, easier than
    retrieval.

    Args:
        records: training images of a ReID dataset.
        share: in (0, 1).
        seed: of the draw.

    Raises:
        BenchboxError: ``share`` is out of range, or fewer than 2 identities have 2 images.
    """
    if not 0 < share < 1:
        raise BenchboxError(f"share = {share} of images to hold out: expected a number in (0, 1).")
    by_pid: defaultdict[int, list[ImageRecord]] = defaultdict(list)
    for record in records:
        by_pid[record.pid].append(record)
    held: set[ImageRecord] = set()
    for images in by_pid.values():
        count = min(max(1, round(share * len(images))), len(images) - 1)
        held.update(sorted(images, key=lambda record: _draw(seed, record))[:count])
    if len({record.pid for record in held}) < 2:
        raise BenchboxError(
            f"{len(by_pid)} training identities, of which fewer than 2 have 2 images: no image "
            "can be held out to measure recognition. Use a dataset with more images."
        )
    train = tuple(record for record in records if record not in held)
    return train, tuple(record for record in records if record in held)


def _draw(seed: int, record: ImageRecord) -> bytes:
    return hashlib.sha256(f"hold_out_images/{seed}/{record.key}".encode()).digest()
