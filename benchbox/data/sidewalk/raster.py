"""Filling shapes into a map of materials, with exactly rounded arithmetic only.

Additions, products, quotients, square roots and comparisons of float32 are rounded the same on
every IEEE machine. Image libraries' drawing is not used: it changes between versions.
"""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

HEIGHT, WIDTH = 256, 128
"""The drawing is made at twice the size of the image, in pixels."""

EMPTY = 0
"""The material of a pixel nothing was drawn on."""

Knots = Sequence[tuple[float, float]]
Map = NDArray[np.uint8]
Field = NDArray[np.float32]


class Shape(NamedTuple):
    """A rasterised shape.

    Attributes:
        rows: the rows it may cover.
        columns: the columns it may cover.
        mask: the pixels it covers, (rows, columns).
        across: the place across the shape, 0 (left edge) to 255 (right edge), same shape.
        along: the place along the shape, 0 to 1, broadcastable to the mask.
    """

    rows: slice
    columns: slice
    mask: NDArray[np.bool_]
    across: Map
    along: Field


def piecewise(at: Field, knots: Knots) -> Field:
    """Return the piecewise linear function through ``knots`` (x ascending), constant outside."""
    result = np.full_like(at, knots[0][1])
    for (x0, y0), (x1, y1) in itertools.pairwise(knots):
        line = (at - x0) * ((y1 - y0) / (x1 - x0)) + y0
        result = np.where(at >= x0, line, result)
    return np.where(at >= knots[-1][0], np.float32(knots[-1][1]), result)


def _window(low: float, high: float, size: int) -> slice:
    """Return the pixels whose centres may lie within low..high, clipped to the canvas."""
    return slice(min(size, max(0, int(low))), max(0, min(size, int(high) + 1)))


def _bytes(field: Field) -> Map:
    """Return a field of -1..1 as 0..255."""
    return (np.clip(field, -1.0, 1.0) * np.float32(127.0) + np.float32(128.0)).astype(np.uint8)


class Canvas:
    """What is seen at each pixel: its material and its place across the body part.

    Attributes:
        material: (256, 128) uint8, 0 where nothing was drawn.
        across: (256, 128) uint8, 0 at a part's left edge and 255 at its right: the part's shading.
    """

    def __init__(self) -> None:
        self.material: Map = np.zeros((HEIGHT, WIDTH), np.uint8)
        self.across: Map = np.full((HEIGHT, WIDTH), 128, np.uint8)

    def paint(self, shape: Shape | None, material: int | Map) -> None:
        """Cover a shape with a material, or with one material a pixel."""
        if shape is not None:
            np.copyto(self.material[shape.rows, shape.columns], material, where=shape.mask)
            np.copyto(self.across[shape.rows, shape.columns], shape.across, where=shape.mask)


def capsule(
    start: tuple[float, float], start_radius: float, end: tuple[float, float], end_radius: float
) -> Shape | None:
    """Return a limb: all points within a radius of a line, the radius changing along it.

    Args:
        start: (x, y) in pixels.
        start_radius: pixels.
        end: (x, y) in pixels.
        end_radius: pixels.
    """
    (x0, y0), (x1, y1) = start, end
    reach = max(start_radius, end_radius) + 1.0
    rows = _window(min(y0, y1) - reach, max(y0, y1) + reach, HEIGHT)
    columns = _window(min(x0, x1) - reach, max(x0, x1) + reach, WIDTH)
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return None
    run, fall = x1 - x0, y1 - y0
    squared = max(run * run + fall * fall, 0.25)
    x = np.arange(columns.start, columns.stop, dtype=np.float32) + np.float32(0.5 - x0)
    y = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] + np.float32(0.5 - y0)
    along: Field = x * np.float32(run / squared) + y * np.float32(fall / squared)
    np.clip(along, 0.0, 1.0, out=along)
    off_x = x - along * np.float32(run)
    off_y = y - along * np.float32(fall)
    radius = along * np.float32(end_radius - start_radius) + np.float32(start_radius)
    mask = off_x * off_x + off_y * off_y <= radius * radius
    # The axis points down the body, so the image's right is to its left.
    sign = 1.0 if fall >= 0 else -1.0
    length = math.sqrt(squared)
    across = x * np.float32(sign * fall / length) - y * np.float32(sign * run / length)
    return Shape(rows, columns, mask, _bytes(across / radius), along)


def column(top: float, bottom: float, centre: Knots, half_width: Knots) -> Shape | None:
    """Return an upright shape given row by row: a torso, a skirt, a coat, a bag.

    Args:
        top: y of the upper edge, pixels.
        bottom: y of the lower edge, pixels.
        centre: x in pixels, against the height (0 at the top, 1 at the bottom).
        half_width: pixels, likewise.
    """
    rows = _window(top, bottom, HEIGHT)
    widest = max(width for _, width in half_width)
    columns = _window(
        min(x for _, x in centre) - widest, max(x for _, x in centre) + widest + 1.0, WIDTH
    )
    if rows.start >= rows.stop or columns.start >= columns.stop or bottom - top < 1.0:
        return None
    y = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] + np.float32(0.5)
    along: Field = (y - np.float32(top)) / np.float32(bottom - top)
    x = np.arange(columns.start, columns.stop, dtype=np.float32) + np.float32(0.5)
    width: Field = np.maximum(piecewise(along, half_width), np.float32(0.25))
    across: Field = (x - piecewise(along, centre)) / width
    mask = (np.abs(across) <= 1.0) & (along >= 0.0) & (along <= 1.0)
    return Shape(rows, columns, mask, _bytes(across), along)


def ellipse(x: float, y: float, half_width: float, half_height: float) -> Shape | None:
    """Return an upright ellipse around (x, y), pixels."""
    rows = _window(y - half_height, y + half_height, HEIGHT)
    columns = _window(x - half_width, x + half_width, WIDTH)
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return None
    x_off = np.arange(columns.start, columns.stop, dtype=np.float32) + np.float32(0.5 - x)
    y_off = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] + np.float32(0.5 - y)
    across: Field = x_off / np.float32(max(half_width, 0.25))
    down: Field = y_off / np.float32(max(half_height, 0.25))
    mask = across * across + down * down <= np.float32(1.0)
    wide = np.broadcast_to(_bytes(across), mask.shape)
    return Shape(rows, columns, mask, wide, (down + np.float32(1.0)) * np.float32(0.5))


def box(left: float, top: float, right: float, bottom: float) -> Shape | None:
    """Return a rectangle, pixels."""
    half = (right - left) / 2
    middle = left + half
    return column(top, bottom, ((0.0, middle), (1.0, middle)), ((0.0, half), (1.0, half)))
