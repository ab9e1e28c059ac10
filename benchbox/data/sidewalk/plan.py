"""Who is seen by which camera how often: identities, tracklets, and the three splits."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from benchbox.data.protocol import DISTRACTOR_PID
from benchbox.data.sidewalk.counts import camera_numbers, camera_shares, long_tail, scaled
from benchbox.data.sidewalk.dice import Dice
from benchbox.data.sidewalk.sizes import VERSION, Spec

TRAIN, QUERY, GALLERY = "bounding_box_train", "query", "bounding_box_test"
FOLDERS = (TRAIN, QUERY, GALLERY)
_TRACKLET_FRAMES = 8
_TRACKLET_SPAN = 900  # frame numbers a tracklet has to itself, so that no two names meet

Kind = Literal["person", "stray"]


@dataclass(frozen=True, slots=True)
class Shot:
    """One image to render: its file and its place within the tracklet."""

    folder: str
    name: str
    frame: int

    @property
    def key(self) -> str:
        """The image's key, ``folder/file name``."""
        return f"{self.folder}/{self.name}"


@dataclass(frozen=True, slots=True)
class Tracklet:
    """One walk of one person past one camera: a few near-duplicate images.

    Attributes:
        person: what the person's looks are drawn by (a distractor has looks, too, but no pid of
            its own).
        camera: the camera, counted from 1.
        number: which of this person's tracklets before this camera it is.
        kind: ``person``, or ``stray`` for a false detection.
        shots: the images in the order they were taken.
    """

    person: str
    camera: int
    number: int
    kind: Kind
    shots: tuple[Shot, ...]


def _walks(
    dice: Dice, pid: int, person: str, camera: int, images: int, folder: str, *, first: int = 0
) -> Iterator[Tracklet]:
    """Yield the tracklets that hold ``images`` images of one person before one camera."""
    for number in range(first, first + -(-images // _TRACKLET_FRAMES)):
        length = min(_TRACKLET_FRAMES, images - (number - first) * _TRACKLET_FRAMES)
        start = 1 + number * _TRACKLET_SPAN + dice.below(300)
        sequence = 1 + dice.below(6)
        shots = tuple(
            Shot(
                folder,
                f"{pid:04d}_c{camera}s{sequence}_{start + 25 * frame + dice.below(12):06d}"
                f"_{1 + dice.below(4):02d}.png",
                frame,
            )
            for frame in range(length)
        )
        yield Tracklet(person, camera, number, "person", shots)


def _with_query(dice: Dice, walks: Sequence[Tracklet]) -> Iterator[Tracklet]:
    """Yield ``walks`` with one of their images moved to the query folder."""
    chosen = dice.below(sum(len(walk.shots) for walk in walks))
    for walk in walks:
        shots = list(walk.shots)
        if 0 <= chosen < len(shots):
            shots[chosen] = replace(shots[chosen], folder=QUERY)
        chosen -= len(shots)
        yield replace(walk, shots=tuple(shots))


def _split(
    dice: Dice, spec: Spec, pids: Sequence[int], folder: str, *, images: int, pairs: int
) -> Iterator[Tracklet]:
    """Yield the tracklets of identities that several cameras see.

    Args:
        dice: the stream to draw from.
        spec: the Sidewalk.
        pids: the identities.
        folder: where their images go; of the gallery's, one a camera goes to the queries.
        images: how many images they have in all.
        pairs: how many pairs of identity and camera there are.
    """
    each = 2 if folder == GALLERY else 1  # a query, and what stays in the gallery
    mean, train_mean = images / len(pids), spec.train_images / spec.train_ids
    tail = scaled(spec.tail, mean / train_mean) if folder == GALLERY else spec.tail
    counts = long_tail(len(pids), images, tail)
    numbers = camera_numbers(dice, counts, spec.cameras, total=pairs, each=each)
    for pid, count, number in zip(pids, counts, numbers, strict=True):
        seen_by = sorted(dice.shuffled(range(1, spec.cameras + 1))[:number])
        shares = camera_shares(dice, count, number, each=each)
        for camera, share in zip(seen_by, shares, strict=True):
            walks = list(_walks(dice, pid, str(pid), camera, share, folder))
            yield from _with_query(dice, walks) if folder == GALLERY else walks


def _loners(dice: Dice, spec: Spec, pids: Sequence[int]) -> Iterator[Tracklet]:
    """Yield gallery identities that one camera sees, as DukeMTMC-reID has."""
    for place, pid in enumerate(pids):
        count = spec.loner_images // len(pids) + (place < spec.loner_images % len(pids))
        camera = 1 + dice.below(spec.cameras)
        yield from _walks(dice, pid, str(pid), camera, count, GALLERY)


def _strays(dice: Dice, spec: Spec) -> Iterator[Tracklet]:
    """Yield the distractors with pid 0: people seen once, and bad detections."""
    seen = [0] * (spec.cameras + 1)  # they share a pid, so each needs its own frame numbers
    for number in range(spec.strays):
        person, camera = f"stray-{number}", 1 + dice.below(spec.cameras)
        walks = _walks(dice, DISTRACTOR_PID, person, camera, 1, GALLERY, first=seen[camera])
        seen[camera] += 1
        kind: Kind = "stray" if dice.chance(0.5) else "person"
        for walk in walks:
            yield replace(walk, kind=kind)


def plan(spec: Spec, seed: int) -> list[Tracklet]:
    """Return every tracklet of a Sidewalk, in a fixed order.

    Every query has a match by construction: a query identity has at least two cameras and every
    one of its cameras keeps at least one image in the gallery.
    """
    dice = Dice(VERSION, spec.domain, spec.size, seed, "plan")
    pids = dice.shuffled(range(1, spec.train_ids + spec.test_ids + spec.loner_ids + 1))
    test_from, loners_from = spec.train_ids, spec.train_ids + spec.test_ids
    train, test, loners = pids[:test_from], pids[test_from:loners_from], pids[loners_from:]
    pairs = round(spec.train_ids * spec.train_camera_mean)
    shown = spec.queries + spec.matches
    return [
        *_split(dice, spec, train, TRAIN, images=spec.train_images, pairs=pairs),
        *_split(dice, spec, test, GALLERY, images=shown, pairs=spec.queries),
        *_loners(dice, spec, loners),
        *_strays(dice, spec),
    ]
