"""Hold training identities out for validation: hyperparameters are never tuned on test queries."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from benchbox.data.protocol import ImageRecord, ReidDataset
from benchbox.errors import BenchboxError

SHARE = 0.25
"""The share of training identities that validation holds out."""

_FEWEST = 2
"""Identities needed on either side: with one, every ranking is perfect and no triplet exists."""


def hold_out(dataset: ReidDataset, *, share: float = SHARE, seed: int = 0) -> ReidDataset:
    """Return ``dataset`` with some training identities as its query and gallery.

    As in the Market-1501 protocol, a held-out identity gives one query image per camera, and its
    other images are the gallery; a query without a match on another camera goes to the gallery.
    Where a query's own camera is kept, an identity gives one query, and two images will do.
    Each identity is held out or not by a digest of (seed, pid) alone, so other images and
    identities do not change its side; ``share`` is met on average. An identity that one camera
    saw stays in training. The dataset's own query and gallery are not looked at.

    Args:
        dataset: whose training images are divided.
        share: of the identities seen by two cameras or more, in (0, 1).
        seed: of the division and of the draw of query images.

    Raises:
        BenchboxError: ``share`` is out of range, or fewer than 2 identities are left on a side.
    """
    if not 0 < share < 1:
        raise BenchboxError(
            f"{dataset.name}: share = {share} of identities to hold out: expected a number above "
            "0 and below 1."
        )
    cameras = defaultdict(set)
    keep = dataset.same_camera == "keep"
    for record in dataset.train:
        cameras[record.pid].add(record.key if keep else record.camid)
    seen_twice = {pid for pid, seen in cameras.items() if len(seen) > 1}
    held = {pid for pid in seen_twice if _draw("identity", seed, pid) < share * 2**256}
    _require_enough(dataset, held=len(held), kept=len(cameras) - len(held))
    images = [record for record in dataset.train if record.pid in held]
    queries = _one_of_each(images, seed) if keep else _queries(images, seed)
    return replace(
        dataset,
        train=tuple(record for record in dataset.train if record.pid not in held),
        query=tuple(record for record in images if record in queries),
        gallery=tuple(record for record in images if record not in queries),
        junk=0,
        digest=hold_out_digest(dataset.digest, share=share, seed=seed),
    )


def hold_out_digest(digest: str, *, share: float = SHARE, seed: int = 0) -> str:
    """Return the digest of :func:`hold_out`'s dataset, from the digest of the whole one."""
    return hashlib.sha256(f"hold_out/{digest}/{share!r}/{seed}".encode()).hexdigest()


def _queries(images: Sequence[ImageRecord], seed: int) -> set[ImageRecord]:
    """Return the images that become queries, at most one per identity and camera."""
    drawn: defaultdict[int, dict[int, ImageRecord]] = defaultdict(dict)
    # The smallest draw wins, so an image more on one camera leaves the others' draws alone.
    for record in sorted(images, key=lambda record: _draw("query", seed, record.key)):
        drawn[record.pid].setdefault(record.camid, record)
    queries = {record for by_camera in drawn.values() for record in by_camera.values()}
    gallery: defaultdict[int, set[int]] = defaultdict(set)
    for record in images:
        if record not in queries:
            gallery[record.pid].add(record.camid)
    for pid, by_camera in drawn.items():
        for camid, query in sorted(by_camera.items()):
            # One step back is enough: in the gallery this image matches all other cameras'.
            if not gallery[pid] - {camid}:
                gallery[pid].add(camid)
                queries.remove(query)
    return queries


def _one_of_each(images: Sequence[ImageRecord], seed: int) -> set[ImageRecord]:
    """Return the images that become queries where cameras do not matter: one per identity."""
    drawn: dict[int, ImageRecord] = {}
    for record in sorted(images, key=lambda record: _draw("query", seed, record.key)):
        drawn.setdefault(record.pid, record)
    return set(drawn.values())


def _draw(what: str, *parts: object) -> int:
    """Return a number below 2^256 that is a digest of ``parts``."""
    name = "/".join(map(str, ("hold_out", what, *parts)))
    return int.from_bytes(hashlib.sha256(name.encode()).digest())


def _require_enough(dataset: ReidDataset, *, held: int, kept: int) -> None:
    if min(held, kept) < _FEWEST:
        raise BenchboxError(
            f"{dataset.name}: validation would hold out {held} and train on {kept} of "
            f"{held + kept} training identities, expected at least {_FEWEST} each (only those "
            "seen by two cameras or more are held out). Use a dataset with more training "
            "identities, or another share or seed."
        )
