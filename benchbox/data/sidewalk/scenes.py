"""What stands behind the people: one wide backdrop a camera, cropped where a person walks."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchbox.data.sidewalk.dice import Dice
from benchbox.data.sidewalk.wardrobe import Colour

SCENE_HEIGHT, SCENE_WIDTH = 168, 512
Picture = NDArray[np.uint8]
_Layer = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """A domain's places: wall and ground colours, greenery, and what stands about."""

    walls: tuple[Colour, ...]
    grounds: tuple[Colour, ...]
    foliage: tuple[Colour, ...]
    things: tuple[Colour, ...]
    snow: float


SURROUNDINGS: dict[str, Surroundings] = {
    "sidewalk-a": Surroundings(
        walls=((188, 152, 124), (204, 192, 168), (168, 108, 86), (150, 168, 176)),
        grounds=((176, 170, 160), (196, 186, 166), (142, 148, 146), (164, 146, 130)),
        foliage=((92, 132, 70), (70, 112, 62), (122, 148, 80)),
        things=((196, 72, 66), (70, 112, 170), (224, 204, 120), (236, 232, 226), (80, 140, 120)),
        snow=0.0,
    ),
    "sidewalk-b": Surroundings(
        walls=((142, 138, 140), (164, 156, 148), (118, 102, 100), (128, 138, 150)),
        grounds=((150, 152, 158), (168, 170, 176), (130, 130, 134), (158, 150, 144)),
        foliage=((112, 106, 88), (96, 96, 84), (128, 118, 98)),
        things=((92, 98, 110), (146, 150, 158), (110, 58, 58), (62, 70, 88), (184, 186, 190)),
        snow=0.55,
    ),
}  # fmt: skip


def texture(dice: Dice, height: int, width: int, cell: int) -> _Layer:
    """Return smooth random relief, (height, width), -128 to 127: a lattice, interpolated.

    Args:
        dice: the stream to draw from.
        height: rows.
        width: columns.
        cell: pixels between lattice points.
    """
    lattice = dice.octets(height // cell + 2, width // cell + 2).astype(np.int32) - 128
    row, down = np.divmod(np.arange(height), cell)
    place, right = np.divmod(np.arange(width), cell)
    down, right = down[:, None].astype(np.int32), right.astype(np.int32)
    upper = lattice[row][:, place] * (cell - right) + lattice[row][:, place + 1] * right
    lower = lattice[row + 1][:, place] * (cell - right) + lattice[row + 1][:, place + 1] * right
    relief: _Layer = (upper * (cell - down) + lower * down) // (cell * cell)
    return relief


def _coloured(base: Colour, relief: _Layer, percent: int) -> _Layer:
    """Return a (3, h, w) layer of a colour whose brightness follows ``relief``."""
    colour = np.array(base, np.int32)[:, None, None]
    return colour + colour * relief[None] * percent // 12800


def backdrop(dice: Dice, surroundings: Surroundings) -> Picture:
    """Return a camera's scene, (3, 168, 512) uint8: something behind, the ground, things on it."""
    horizon = 38 + dice.below(34)
    width = SCENE_WIDTH
    scene = np.zeros((3, SCENE_HEIGHT, width), np.int32)
    scene[:, :horizon] = _behind(dice, surroundings, horizon)
    scene[:, horizon:] = _ground(dice, surroundings, SCENE_HEIGHT - horizon)
    scene[:, horizon - 1 : horizon + 1] = scene[:, horizon - 1 : horizon + 1] * 3 // 4
    for _ in range(5 + dice.below(6)):
        _put_thing(dice, surroundings, scene, horizon)
    scene += texture(dice, SCENE_HEIGHT, width, 3) // 18
    scene += texture(dice, SCENE_HEIGHT, width, 64) // 6
    return np.clip(scene, 0, 255).astype(np.uint8)


def _behind(dice: Dice, surroundings: Surroundings, height: int) -> _Layer:
    """Return a wall with windows, a row of shrubs, or bricks."""
    width = SCENE_WIDTH
    fine = texture(dice, height, width, 6)
    style = dice.below(3)
    if style == 0:
        layer = _coloured(dice.pick(surroundings.foliage), fine, 60)
        return layer + texture(dice, height, width, 14)[None] // 5
    layer = _coloured(dice.pick(surroundings.walls), fine, 10)
    y, x = np.arange(height)[:, None], np.arange(width)[None]
    if style == 1:
        pane, gap = 18 + dice.below(22), 8 + dice.below(12)
        windows = (x % (pane + gap) < pane) & (y % 34 < 24)
        glass = np.array((96, 112, 124), np.int32)[:, None, None] + fine[None] // 6
        return np.where(windows, glass, layer)
    rise, run = 6 + dice.below(5), 14 + dice.below(12)
    joints = (y % rise == 0) | ((x + (y // rise % 2) * (run // 2)) % run == 0)
    return np.where(joints, layer * 4 // 5, layer)


def _ground(dice: Dice, surroundings: Surroundings, height: int) -> _Layer:
    """Return paving, tarmac or grass that grows coarser towards the camera."""
    width = SCENE_WIDTH
    colour = dice.pick(surroundings.grounds)
    layer = _coloured(colour, texture(dice, height, width, 4), 7)
    y, x = np.arange(height)[:, None], np.arange(width)[None]
    match dice.below(4):
        case 0:  # slabs, whose joints lie farther apart the nearer they are
            step = 7 + dice.below(6)
            across = (y * y) // (step * 14)
            joints = (np.diff(across, axis=0, prepend=-1) != 0) | ((x + y) % (step * 4) < 1)
            layer = np.where(joints, layer * 5 // 6, layer)
        case 1:  # a kerb, and the road beyond it
            edge = height // 4 + dice.below(max(1, height // 4))
            layer = np.where(y < edge, layer * 3 // 4, layer)
            layer = np.where((y >= edge) & (y < edge + 3), layer * 9 // 8 + 10, layer)
        case 2:  # a strip of grass
            grass = _coloured(dice.pick(surroundings.foliage), texture(dice, height, width, 3), 40)
            layer = np.where(y < height // 3 + dice.below(14), grass, layer)
        case _:
            layer = layer + texture(dice, height, width, 30)[None] // 10
    if dice.chance(surroundings.snow):
        relief = texture(dice, height, width, 22)
        snow = _coloured((206, 210, 218), texture(dice, height, width, 5), 5)
        layer = np.where(relief > 20 + dice.below(30), snow, layer)
    return layer


def _put_thing(dice: Dice, surroundings: Surroundings, scene: _Layer, horizon: int) -> None:
    """Put a car, stall, post or trunk on the ground, in place."""
    colour = np.array(dice.pick(surroundings.things), np.int32)[:, None, None]
    left = dice.below(SCENE_WIDTH - 20)
    foot = horizon + 2 + dice.below(26)
    kind = dice.below(4)
    if kind == 0:  # post or trunk
        wide, tall = 3 + dice.below(6), 70
        colour = colour // 2 + 24
    elif kind == 1:  # stall, booth or shed
        wide, tall = 26 + dice.below(44), 30 + dice.below(24)
    else:  # car or bench
        wide, tall = 34 + dice.below(40), 12 + dice.below(14)
    top = max(0, foot - tall)
    part = scene[:, top:foot, left : left + wide]
    part[:] = colour + texture(dice, part.shape[1], part.shape[2], 8)[None] // 10
    part[:, :, :1] = part[:, :, :1] * 2 // 3
    part[:, :, -1:] = part[:, :, -1:] * 2 // 3
    if kind >= 2:
        part[:, : part.shape[1] // 3, 3:-3] = part[:, : part.shape[1] // 3, 3:-3] // 3 + 50
        part[:, -3:] = 44
    elif kind == 1:
        stripes = (np.arange(part.shape[2]) // 6) % 2 == 0
        part[:, : part.shape[1] // 4, stripes] = part[:, : part.shape[1] // 4, stripes] // 2 + 110
