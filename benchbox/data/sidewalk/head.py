"""Drawing a pedestrian's head: skull, face, hair and hat."""

from benchbox.data.sidewalk.materials import BEARD, EYE, GLASS, HAIR, HAT, LIP, SKIN
from benchbox.data.sidewalk.pose import View
from benchbox.data.sidewalk.raster import Canvas, box, capsule, column, ellipse
from benchbox.data.sidewalk.wardrobe import Looks

_CENTRE, _HALF_HEIGHT = 0.928, 0.066


def draw_head(canvas: Canvas, looks: Looks, view: View, lean: float) -> None:
    """Draw the head with what grows and sits on it.

    Args:
        canvas: what to draw on.
        looks: the person.
        view: the camera.
        lean: how far the head is ahead of the hips, in body heights.
    """
    x, y = view(0.0, _CENTRE, lean + 0.012)
    wide, high = view.width(0.049, 0.058), _HALF_HEIGHT * view.scale
    ahead = view.right * wide
    if looks.hair_style in ("long", "medium"):
        _draw_hanging_hair(canvas, looks, view, lean)
    elif looks.hair_style == "ponytail" and looks.hat != "hood":
        tail = view(0.0, 0.945, lean - 0.06), view(0.0, 0.83, lean - 0.085)
        if view.front < 0.5:
            canvas.paint(capsule(tail[0], 0.02 * view.scale, tail[1], 0.013 * view.scale), HAIR)
    elif looks.hair_style == "bun":
        canvas.paint(ellipse(*view(0.0, 0.985, lean - 0.035), *(2 * (0.03 * view.scale,))), HAIR)
    canvas.paint(ellipse(x, y, wide, high), SKIN)
    if looks.hair_style != "bald":
        grown = 1.28 if looks.hair_style == "curls" else 1.06
        canvas.paint(ellipse(x, y - high * 0.1, wide * grown, high * grown), HAIR)
        if looks.hair_style == "short" and view.front < 0.4:
            canvas.paint(ellipse(x, y + high * 0.62, wide * 0.72, high * 0.4), SKIN)
    if view.front > -0.55:
        _draw_face(canvas, looks, view, (x, y), (wide, high))
    _draw_hat(canvas, looks, view, (x, y), (wide, high), ahead)


def _draw_hanging_hair(canvas: Canvas, looks: Looks, view: View, lean: float) -> None:
    length = 0.15 if looks.hair_style == "long" else 0.07
    x, top = view(0.0, 0.95, lean - 0.015)
    end, bottom = view(0.0, 0.875 - length, lean - 0.05)
    wide = view.width(0.06, 0.05)
    if view.front > 0.3:  # seen from the front, hair falls before the shoulders as two strands
        for side in (-1, 1):
            strand = x + side * wide * 0.82
            canvas.paint(
                capsule(
                    (strand, top),
                    0.016 * view.scale,
                    (strand + side, bottom),
                    0.013 * view.scale,
                ),
                HAIR,
            )
    else:
        widths = ((0.0, wide), (0.7, wide), (1.0, wide * 0.7))
        canvas.paint(column(top, bottom, ((0.0, x), (1.0, end)), widths), HAIR)


def _draw_face(
    canvas: Canvas,
    looks: Looks,
    view: View,
    centre: tuple[float, float],
    half: tuple[float, float],
) -> None:
    """Draw the part of the head without hair; from the side, its leading half."""
    (x, y), (wide, high) = centre, half
    open_half = wide * (0.62 + 0.2 * view.front)
    middle = x + view.right * wide * 0.42
    canvas.paint(ellipse(middle, y + high * 0.16, open_half, high * 0.82), SKIN)
    if looks.beard:
        canvas.paint(ellipse(middle, y + high * 0.66, open_half * 0.86, high * 0.36), BEARD)
    if view.front < 0.1:
        return
    size = max(1.2, 0.0085 * view.scale)
    for side in (-1, 1):
        eye = middle + side * open_half * 0.42 * view.front + view.right * wide * 0.2
        canvas.paint(ellipse(eye, y + high * 0.02, size, size * 0.8), EYE)
    mouth = middle + view.right * wide * 0.2
    canvas.paint(
        box(mouth - size * 1.4, y + high * 0.56, mouth + size * 1.4, y + high * 0.56 + 2), LIP
    )
    if looks.glasses:
        reach = open_half * 0.82
        canvas.paint(box(middle - reach, y - size, middle + reach, y + size), GLASS)


def _draw_hat(
    canvas: Canvas,
    looks: Looks,
    view: View,
    centre: tuple[float, float],
    half: tuple[float, float],
    ahead: float,
) -> None:
    (x, y), (wide, high) = centre, half
    if looks.hat in ("cap", "beanie", "brim"):
        drop = 0.9 if looks.hat == "beanie" else 0.72
        canvas.paint(
            column(
                y - high * 1.16,
                y - high * (1.0 - drop) * 1.4,
                ((0.0, x), (1.0, x)),
                ((0.0, wide * 0.45), (0.3, wide * 0.95), (1.0, wide * 1.12)),
            ),
            HAT,
        )
    if looks.hat == "cap" and view.front > -0.7:
        tip = x + ahead * 1.1
        level = y - high * 0.36
        canvas.paint(capsule((x + ahead * 0.3, level), 2.2, (tip, level + 1.5), 2.0), HAT)
        if view.front > 0.3:
            canvas.paint(box(tip - wide * 0.9, level - 2, tip + wide * 0.9, level + 2), HAT)
    elif looks.hat == "brim":
        level = y - high * 0.42
        canvas.paint(ellipse(x, level, wide * 1.9, high * 0.16), HAT)
    elif looks.hat == "hood":
        canvas.paint(ellipse(x - ahead * 0.16, y - high * 0.02, wide * 1.28, high * 1.22), HAT)
        if view.front > -0.2:
            middle = x + ahead * 0.1, y + high * 0.05
            _draw_face(canvas, looks, view, middle, (wide * 0.95, high * 0.92))
