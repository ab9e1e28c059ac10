"""The stand-in for CIFAR-10: ten rendered shapes on clutter, the same pixels on every machine."""

import math

import numpy as np
import torch
from numpy.typing import NDArray

from benchbox.data.sidewalk.dice import Dice, cosine, quantised, sine
from benchbox.errors import BenchboxError
from benchbox.training.training_set import TrainingSet

VERSION = 1
"""Goes up whenever a pixel changes; every draw depends on it."""

SIZE = 32
_FINE = 2  # the drawing is made at so many times the size and averaged down

Mask = NDArray[np.bool_]
Field = NDArray[np.float32]


def render_shapes(split: str, *, each: int, seed: int = 0) -> TrainingSet:
    """Return a balanced split of the stand-in, image i being of class i modulo 10.

    A shape has a random place, size, turn and contrast and a two-tone colour that leans towards
    its class's; behind it is a gradient with bars and discs, before it grain. An image is named by
    (seed, split, number) alone, so another ``each`` leaves the images both have alone.

    Args:
        split: ``train`` or ``test``; their images share no draw.
        each: images per class, at least 1.
        seed: another seed draws other images.

    Returns:
        images (10 · each, 3, 32, 32) uint8 and their classes.

    Raises:
        BenchboxError: ``each`` is below 1.
    """
    if each < 1:
        raise BenchboxError(f"stand-in: {each} images per class, at least 1 expected.")
    labels = torch.arange(10 * each) % 10
    pictures = [
        _picture(SHAPES[label], Dice("shapes", VERSION, seed, split, number))
        for number, label in enumerate(labels.tolist())
    ]
    return TrainingSet(
        torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous(), labels
    )


def _picture(shape: str, dice: Dice) -> NDArray[np.uint8]:
    """Return one image, (32, 32, 3)."""
    image = _background(dice)
    radius = dice.between(9.0, 13.0) * _FINE
    middle = [dice.between(0.42, 0.58) * SIZE * _FINE for _ in range(2)]
    x, y = _turned(middle, radius, dice.between(-0.3, 0.3))
    # From faint to clear: what a budget of 8/255 can and cannot hide.
    colour, contrast = _colour_of(shape, image.mean((0, 1)), dice), dice.between(0.4, 1.0)
    shade = (np.float32(0.85) + np.float32(0.15) * x)[..., None] * colour
    inside = mask_of(shape, x, y)[..., None]
    image = np.where(inside, image + (shade - image) * np.float32(contrast), image)
    # Sums written out: the order in which NumPy adds along axes is not the same everywhere.
    pairs = image[0::2] + image[1::2]
    small = (pairs[:, 0::2] + pairs[:, 1::2]) * np.float32(0.25)
    grain = dice.octets(SIZE, SIZE, 3).astype(np.float32) - np.float32(127.5)
    noisy = small + grain * np.float32(dice.between(0.02, 0.08))
    picture: NDArray[np.uint8] = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    return picture


def _background(dice: Dice) -> Field:
    """Return a gradient between two colours with a few bars and discs on it, (64, 64, 3)."""
    first, second = _colour(dice), _colour(dice)
    x, y = _turned([SIZE, SIZE], SIZE * _FINE, dice.between(0, 6.28))
    image = first + (x + np.float32(0.5))[..., None] * (second - first) * np.float32(0.5)
    for _ in range(2 + dice.below(4)):
        place = [dice.between(0, SIZE * _FINE) for _ in range(2)]
        x, y = _turned(place, dice.between(2, 6) * _FINE, dice.between(0, 6.28))
        bar = (np.abs(x) < 2.2) & (np.abs(y) < 0.22)
        thing = bar if dice.chance(0.6) else x * x + y * y < 0.16
        blot = image + (_colour(dice) - image) * np.float32(dice.between(0.2, 0.7))
        image = np.where(thing[..., None], blot, image)
    return image.astype(np.float32)


def _turned(middle: list[float], unit: float, angle: float) -> tuple[Field, Field]:
    """Return coordinates around ``middle`` in multiples of ``unit``, turned by ``angle``."""
    pixels = np.arange(SIZE * _FINE, dtype=np.float32) + np.float32(0.5)
    across = (pixels[None, :] - np.float32(middle[0])) / np.float32(unit)
    down = (pixels[:, None] - np.float32(middle[1])) / np.float32(unit)
    turn_x, turn_y = np.float32(cosine(angle)), np.float32(sine(angle))
    return across * turn_x + down * turn_y, down * turn_x - across * turn_y


def _colour(dice: Dice) -> Field:
    return np.array([dice.between(20, 235) for _ in range(3)], dtype=np.float32)


def _colour_of(shape: str, behind: Field, dice: Dice) -> Field:
    """Return a colour that leans towards the class's, as apples are mostly red or green.

    Form alone takes a small network longer to learn than a stand-in should take. The colour is
    never near what is behind: shapes may be faint, not invisible.
    """
    typical = _colour(Dice("shapes", VERSION, "colour of", shape))
    while True:
        colour = typical * np.float32(0.5) + _colour(dice) * np.float32(0.5)
        if np.abs(colour - behind).max() > 50:
            return colour


def _polygon(x: Field, y: Field, corners: int, phase: float) -> Mask:
    """Return a regular polygon of circumradius 1, a corner at angle ``phase`` (radians)."""
    inside = np.ones(x.shape, dtype=bool)
    reach = np.float32(quantised(math.cos(math.pi / corners)))
    for corner in range(corners):
        normal = phase + (corner + 0.5) * 2 * math.pi / corners
        inside &= x * np.float32(cosine(normal)) + y * np.float32(sine(normal)) < reach
    return inside


def _star(x: Field, y: Field) -> Mask:
    """Return the union of two triangles: a six-pointed star."""
    up, down = _polygon(x, y, 3, -math.pi / 2), _polygon(x, y, 3, math.pi / 2)
    return up | down


def mask_of(shape: str, x: Field, y: Field) -> Mask:
    """Return the pixels of a shape of radius about 1 at coordinates ``x`` and ``y`` (down)."""
    squared = x * x + y * y
    match shape:
        case "disc":
            return squared < 0.8
        case "ring":
            return (squared < 1.0) & (squared > 0.36)
        case "crescent":
            away: Field = x - np.float32(0.5)
            return (squared < 1.0) & (away * away + y * y > 0.64)
        case "square":
            farthest: Field = np.maximum(np.abs(x), np.abs(y))
            return farthest < 0.8
        case "diamond":
            return np.abs(x) + np.abs(y) < 1.1
        case "triangle":
            return _polygon(x, y, 3, -math.pi / 2)
        case "star":
            return _star(x, y)
        case "plus":
            along_x, along_y = (np.abs(y) < 0.3), (np.abs(x) < 0.3)
            return (along_x | along_y) & (np.abs(x) < 1.0) & (np.abs(y) < 1.0)
        case "bars":
            off_middle: Field = np.abs(np.abs(y) - np.float32(0.5))
            return (off_middle < 0.25) & (np.abs(x) < 0.9)
        case "corner":
            inside: Mask = np.maximum(np.abs(x), np.abs(y)) < 0.9
            return inside & ((x < -0.3) | (y > 0.3))
        case _:
            raise ValueError(f"no shape {shape!r}")


SHAPES = (
    "disc",
    "ring",
    "crescent",
    "square",
    "diamond",
    "triangle",
    "star",
    "plus",
    "bars",
    "corner",
)
"""The ten classes, in the order of their labels."""
