"""Which material the cloth of a torso or a leg has at each place of it."""

import math

import numpy as np
from numpy.typing import NDArray

from benchbox.data.sidewalk.materials import INNER, LOWER, LOWER2, SEAM, STRAP, UPPER, UPPER2
from benchbox.data.sidewalk.pose import View
from benchbox.data.sidewalk.raster import Map, Shape
from benchbox.data.sidewalk.wardrobe import Looks

TURN = 1024
"""Angles around the trunk are integers, this many a full turn; 0 is the breastbone."""


def _degrees(value: float) -> int:
    return round(value * TURN / 360)


# The trunk is round: a place u (-1 to 1) across it lies at the angle asin(u) from its nearest line.
_ANGLE_ACROSS = np.array(
    [round(math.asin(max(-1.0, min(1.0, (u - 128) / 127))) * TURN / math.tau) for u in range(256)],
    dtype=np.int16,
)


def angles(shape: Shape, view: View) -> NDArray[np.int16]:
    """Return the angle around the trunk at each pixel: -512 to 511, 0 at the front."""
    facing = round(view.facing * TURN / math.tau)
    around = _ANGLE_ACROSS[shape.across] - np.int16(facing % TURN)
    return ((around + 3 * TURN // 2) & (TURN - 1)) - np.int16(TURN // 2)


def torso(shape: Shape, looks: Looks, view: View) -> Map:
    """Return the material of each pixel of a torso: pattern, open front, seam and bag strap."""
    around = angles(shape, view)
    along = shape.along
    upper, upper2 = np.uint8(UPPER), np.uint8(UPPER2)
    cloth: Map = np.full(shape.mask.shape, UPPER, np.uint8)

    def trimmed(where: NDArray[np.bool_]) -> Map:
        return np.where(where, upper2, upper)

    bands = (along * np.float32(2 * looks.bands)).astype(np.int16)
    slices = (around + TURN // 2) // (TURN // (4 * looks.bands))
    match looks.pattern:
        case "hstripes":
            cloth = trimmed(np.broadcast_to(bands & 1 == 1, shape.mask.shape))
        case "vstripes":
            cloth = trimmed(slices & 1 == 1)
        case "checks":
            cloth = trimmed((slices ^ bands) & 1 == 1)
        case "dots":
            cloth = trimmed((slices & 1 == 1) & (bands & 1 == 1))
        case "block":
            cloth = trimmed(np.broadcast_to(along > 0.3 + 0.05 * looks.bands, shape.mask.shape))
        case "chest":
            top = 0.12 + 0.05 * looks.bands
            cloth = trimmed(np.broadcast_to((along > top) & (along < top + 0.2), shape.mask.shape))
        case "logo":
            half = 26 + 12 * looks.bands
            cloth = trimmed((np.abs(around) < half) & (along > 0.2) & (along < 0.46))
        case "back":
            half = TURN // 2 - 30 - 12 * looks.bands
            cloth = trimmed((np.abs(around) > half) & (along > 0.2) & (along < 0.6))
        case "plain":
            pass
    if looks.open_front:
        opening = _degrees(looks.open_front) * (np.float32(0.7) + along * np.float32(0.6))
        cloth = np.where(np.abs(around) < opening, np.uint8(INNER), cloth)
    elif looks.top in ("jacket", "coat"):
        cloth = np.where(np.abs(around) < 14, np.uint8(SEAM), cloth)
    if looks.bag == "satchel":
        # The strap runs from one shoulder to the other hip, in front and on the back.
        front = np.abs(around) < TURN // 4
        behind = np.where(around > 0, TURN // 2 - around, -TURN // 2 - around)
        sideways = np.where(front, around, behind) * np.int16(looks.side)
        line = sideways - ((along - 0.45) * np.float32(500)).astype(np.int16)
        cloth = np.where(np.abs(line) < 34, np.uint8(STRAP), cloth)
    if looks.bag == "backpack":
        strap = (np.abs(np.abs(around) - _degrees(38)) < 22) & (along < 0.55)
        cloth = np.where(strap, np.uint8(STRAP), cloth)
    return cloth


def skirt(shape: Shape, looks: Looks, view: View) -> Map:
    """Return the material of each pixel of a skirt or a coat's tail: plain, or open in front."""
    if looks.top == "coat":
        if not looks.open_front:
            return np.full(shape.mask.shape, UPPER, np.uint8)
        gap = np.abs(angles(shape, view)) < _degrees(looks.open_front)
        return np.where(gap, np.uint8(LOWER), np.uint8(UPPER))
    main, second = (UPPER, UPPER2) if looks.top == "dress" else (LOWER, LOWER2)
    hem = shape.along > (0.82 if looks.trim == "knee" else 2.0)
    return np.broadcast_to(np.where(hem, np.uint8(second), np.uint8(main)), shape.mask.shape)


def trouser_leg(shape: Shape, looks: Looks, *, part: str) -> Map | int:
    """Return the material of a thigh (``part="thigh"``) or a shin."""
    if looks.trim == "side stripe":
        stripe = np.abs(shape.across.astype(np.int16) - 128) < 30
        return np.where(stripe, np.uint8(LOWER2), np.uint8(LOWER))
    if looks.trim == "knee":
        patch = shape.along > 0.72 if part == "thigh" else shape.along < 0.2
        return np.where(patch, np.uint8(LOWER2), np.uint8(LOWER))
    return LOWER
