"""Who is seen by which camera how often: identities, tracklets, and the three splits."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from benchbox.data.protocol import DISTRACTOR_PID
from benchbox.data.sidewalk.dice import Dice, quantised
from benchbox.data.sidewalk.sizes import VERSION, Spec, Tail

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
        person: names the person's looks (a distractor has looks, too, but no pid of its own).
        camera: counted from 1.
        number: counts this person's tracklets before this camera.
        kind: ``person``, or ``stray`` for a false detection.
        shots: the images, in time.
    """

    person: str
    camera: int
    number: int
    kind: Kind
    shots: tuple[Shot, ...]


def long_tail(identities: int, total: int, tail: Tail) -> list[int]:
    """Return ``identities`` descending image counts that add up to ``total``.

    The counts follow the quartiles of ``tail``; the curve of the top quarter, from the third
    quartile to the maximum, is bent until the sum fits.
    """
    ranks = [(rank + 0.5) / identities for rank in range(identities)]

    def counts(bend: float) -> list[int]:
        values = []
        for rank in ranks:
            if rank < 0.25:
                value = tail.low + (tail.quarter - tail.low) * math.sqrt(rank * 4)
            elif rank < 0.5:
                value = tail.quarter + (tail.median - tail.quarter) * (rank * 4 - 1)
            elif rank < 0.75:
                value = tail.median + (tail.three_quarters - tail.median) * (rank * 4 - 2)
            else:
                reach = quantised(math.pow(rank * 4 - 3, bend))
                growth = math.pow(tail.high / tail.three_quarters, reach)
                value = tail.three_quarters * quantised(growth)
            values.append(round(value))
        values[0], values[-1] = tail.low, tail.high
        return values

    bends = [step / 16 for step in range(8, 400)]
    best = min((counts(bend) for bend in bends), key=lambda values: abs(sum(values) - total))
    return sorted(_adjusted(best, total, least=tail.low, most=tail.high), reverse=True)


def _adjusted(counts: Sequence[int], total: int, *, least: int, most: int) -> list[int]:
    """Return ``counts``, the inner ones moved by one in turn until they add up to ``total``."""
    values = list(counts)
    missing = total - sum(values)
    inner = range(1, len(values) - 1)
    while missing:
        step = 1 if missing > 0 else -1
        movable = [place for place in inner if least < values[place] + step < most]
        for place in movable[: abs(missing)]:
            values[place] += step
        if not movable:
            raise ValueError(f"no counts within {least}..{most} add up to {total}")
        missing = total - sum(values)
    return values


def camera_numbers(
    dice: Dice, counts: Sequence[int], cameras: int, *, total: int, each: int
) -> list[int]:
    """Return how many cameras see each identity: two or more, ``total`` over all of them.

    Args:
        dice: the stream to draw from.
        counts: images per identity.
        cameras: cameras of the place.
        total: the sum to reach.
        each: images that every camera of an identity has at least.
    """
    most = [min(cameras, count // each) for count in counts]
    numbers = [min(2, limit) for limit in most]
    while sum(numbers) < total:
        open_places = [place for place, limit in enumerate(most) if numbers[place] < limit]
        if not open_places:
            raise ValueError(f"{total} pairs of identity and camera do not fit")
        numbers[dice.pick(open_places)] += 1
    return numbers


def camera_shares(dice: Dice, images: int, cameras: int, *, each: int) -> list[int]:
    """Return ``images`` split unevenly over ``cameras``, at least ``each`` a camera.

    In DukeMTMC-reID half the identities have over 42% of their images from one camera.
    """
    weights = [dice.spread(0.62) for _ in range(cameras)]
    left = images - each * cameras
    exact = [left * weight / sum(weights) for weight in weights]
    shares = [each + int(value) for value in exact]
    rest = sorted(range(cameras), key=lambda place: (int(exact[place]) - exact[place], place))
    for place in rest[: images - sum(shares)]:
        shares[place] += 1
    return shares


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
            shots[chosen] = Shot(QUERY, shots[chosen].name, shots[chosen].frame)
        chosen -= len(shots)
        yield Tracklet(walk.person, walk.camera, walk.number, walk.kind, tuple(shots))


def plan(spec: Spec, seed: int) -> list[Tracklet]:
    """Return every tracklet of a Sidewalk, in a fixed order.

    Every query has a match by construction: a query identity has at least two cameras and every
    one of its cameras keeps at least one image in the gallery.
    """
    dice = Dice(VERSION, spec.domain, spec.size, seed, "plan")
    pids = dice.shuffled(range(1, spec.train_ids + spec.test_ids + spec.loner_ids + 1))
    train_pids = pids[: spec.train_ids]
    test_pids = pids[spec.train_ids : spec.train_ids + spec.test_ids]
    loner_pids = pids[spec.train_ids + spec.test_ids :]
    everywhere = range(1, spec.cameras + 1)
    tracklets: list[Tracklet] = []

    for split, split_pids, images, pairs, each in (
        (TRAIN, train_pids, spec.train_images, round(spec.train_ids * spec.train_camera_mean), 1),
        (GALLERY, test_pids, spec.queries + spec.matches, spec.queries, 2),
    ):
        mean = images / len(split_pids) / (spec.train_images / spec.train_ids)
        tail = spec.tail if each == 1 else _scaled(spec.tail, mean)
        counts = long_tail(len(split_pids), images, tail)
        numbers = camera_numbers(dice, counts, spec.cameras, total=pairs, each=each)
        for pid, count, number in zip(split_pids, counts, numbers, strict=True):
            seen_by = sorted(dice.shuffled(everywhere)[:number])
            shares = camera_shares(dice, count, number, each=each)
            for camera, share in zip(seen_by, shares, strict=True):
                walks = list(_walks(dice, pid, str(pid), camera, share, split))
                tracklets += _with_query(dice, walks) if split == GALLERY else walks

    loner_counts = [
        spec.loner_images // spec.loner_ids + (place < spec.loner_images % spec.loner_ids)
        for place in range(spec.loner_ids)
    ]
    for pid, count in zip(loner_pids, loner_counts, strict=True):
        tracklets += _walks(dice, pid, str(pid), dice.pick(everywhere), count, GALLERY)

    for stray in range(spec.strays):
        (walk,) = _walks(
            dice, DISTRACTOR_PID, f"stray-{stray}", dice.pick(everywhere), 1, GALLERY, first=stray
        )
        kind: Kind = "stray" if dice.chance(0.5) else "person"
        tracklets.append(Tracklet(walk.person, walk.camera, walk.number, kind, walk.shots))
    return tracklets


def _scaled(tail: Tail, factor: float) -> Tail:
    """Return a long tail of the same shape whose mean is ``factor`` times as high."""
    return Tail(
        low=max(4, round(tail.low * factor)),
        quarter=round(tail.quarter * factor),
        median=round(tail.median * factor),
        three_quarters=round(tail.three_quarters * factor),
        high=round(tail.high * factor),
    )
