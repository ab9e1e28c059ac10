"""How many images an identity has, and how they are spread over its cameras."""

import math
from collections.abc import Sequence

from benchbox.data.sidewalk.dice import Dice, quantised
from benchbox.data.sidewalk.sizes import Tail


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


def scaled(tail: Tail, factor: float) -> Tail:
    """Return a long tail of the same shape whose mean is ``factor`` times as high."""
    return Tail(
        low=max(4, round(tail.low * factor)),
        quarter=round(tail.quarter * factor),
        median=round(tail.median * factor),
        three_quarters=round(tail.three_quarters * factor),
        high=round(tail.high * factor),
    )
