"""Drawing one pedestrian: limbs by depth, then trunk, head, hair, hat and bags."""

from benchbox.data.sidewalk import garments
from benchbox.data.sidewalk.head import draw_head
from benchbox.data.sidewalk.materials import BAG, LOWER, SCARF, SHOE, SKIN, SLEEVE, SOLE, STRAP
from benchbox.data.sidewalk.pose import Arm, Gait, Leg, View, arm, leg
from benchbox.data.sidewalk.raster import Canvas, Knots, box, capsule, column, ellipse
from benchbox.data.sidewalk.wardrobe import Looks

_NECK, _HIP = 0.845, 0.475


def draw_person(canvas: Canvas, looks: Looks, gait: Gait, view: View) -> None:
    """Draw a pedestrian, far parts first.

    Args:
        canvas: what to draw on.
        looks: the person.
        gait: the moment of the walk.
        view: the camera.
    """
    legs = [leg(gait, side, looks.legs) for side in (1, -1)]
    arms = [arm(gait, side, 0.112 * looks.build) for side in (1, -1)]
    legs.sort(key=lambda limb: view.depth(limb.hip[0], limb.knee[2] + limb.ankle[2]))
    arms.sort(key=lambda limb: view.depth(limb.elbow[0], limb.elbow[2]))
    far, near = arms
    near_is_before = view.depth(near.elbow[0], near.elbow[2]) > -0.03
    far_is_before = view.depth(far.elbow[0], far.elbow[2]) > 0.015

    for limb, before in ((far, far_is_before), (near, near_is_before)):
        if not before:
            _draw_arm(canvas, looks, limb, view)
    if looks.bag == "backpack" and view.front > 0.0:
        _draw_backpack(canvas, looks, gait, view)
    for walking in legs:
        _draw_leg(canvas, looks, walking, view)
    _draw_trunk(canvas, looks, gait, view)
    if looks.bag == "backpack" and view.front <= 0.0:
        _draw_backpack(canvas, looks, gait, view)
    draw_head(canvas, looks, view, gait.lean)
    if looks.bag == "satchel":
        _draw_bag(canvas, view, (looks.side * 0.13, 0.49, -0.01), 0.06, 0.085)
    for limb, before in ((far, far_is_before), (near, near_is_before)):
        if before:
            _draw_arm(canvas, looks, limb, view)


def _draw_leg(canvas: Canvas, looks: Looks, limb: Leg, view: View) -> None:
    size = view.scale * looks.build
    hip, knee, ankle, toe = (view(*joint) for joint in (limb.hip, limb.knee, limb.ankle, limb.toe))
    bare_shin = looks.bottom in ("shorts", "skirt") or looks.top == "dress"
    fit = looks.fit if looks.bottom == "trousers" else 1.0
    foot = 0.026 * view.scale
    canvas.paint(capsule((ankle[0], ankle[1] + foot * 0.9), foot * 0.9, toe, foot * 0.66), SOLE)
    canvas.paint(capsule(ankle, foot * 1.05, (toe[0], toe[1] - foot * 0.4), foot * 0.7), SHOE)
    shin = capsule(knee, 0.036 * size * min(fit, 1.2), ankle, 0.023 * size * fit)
    if shin is not None:
        canvas.paint(shin, SKIN if bare_shin else garments.trouser_leg(shin, looks, part="shin"))
    if looks.tall_shoe:
        middle = ((knee[0] + 2 * ankle[0]) / 3, (knee[1] + 2 * ankle[1]) / 3)
        canvas.paint(capsule(middle, 0.033 * size, ankle, 0.026 * size), SHOE)
    thigh = capsule(hip, 0.053 * size, knee, 0.038 * size * min(fit, 1.2))
    if thigh is not None:
        canvas.paint(thigh, garments.trouser_leg(thigh, looks, part="thigh"))
    if looks.bottom == "shorts":
        hem = ((hip[0] + 5 * knee[0]) / 6, (hip[1] + 5 * knee[1]) / 6)
        canvas.paint(capsule(hip, 0.054 * size, hem, 0.050 * size), LOWER)


def _draw_arm(canvas: Canvas, looks: Looks, limb: Arm, view: View) -> None:
    thick = 1.2 if looks.top in ("jacket", "coat") else 1.0
    size = view.scale * (0.5 + 0.5 * looks.build)
    shoulder, elbow, wrist = (view(*joint) for joint in (limb.shoulder, limb.elbow, limb.wrist))
    fore = 0.026 * size, 0.021 * size
    long = looks.sleeve == "long"
    hand = (wrist[0] + (wrist[0] - elbow[0]) * 0.16, wrist[1] + (wrist[1] - elbow[1]) * 0.16)
    if looks.bag in ("handbag", "tote") and limb.side == looks.side:
        drop, wide = (0.09, 0.055) if looks.bag == "handbag" else (0.13, 0.06)
        x, y = hand
        half = view.width(0.025, wide)
        top = y + 0.05 * view.scale
        canvas.paint(capsule((x - half * 0.5, top), 1.4, (x, y), 1.4), STRAP)
        canvas.paint(capsule((x + half * 0.5, top), 1.4, (x, y), 1.4), STRAP)
        canvas.paint(box(x - half, top, x + half, top + drop * view.scale), BAG)
    canvas.paint(ellipse(*hand, 0.021 * size, 0.026 * size), SKIN)
    cloth = thick if long else 0.95
    canvas.paint(capsule(elbow, fore[0] * cloth, wrist, fore[1] * cloth), SLEEVE if long else SKIN)
    upper_cloth = thick if looks.sleeve != "none" else 0.95
    canvas.paint(
        capsule(shoulder, 0.034 * size * upper_cloth, elbow, 0.028 * size * upper_cloth),
        SKIN if looks.sleeve == "none" else SLEEVE,
    )
    if looks.sleeve == "short":
        bare = ((shoulder[0] + 3 * elbow[0]) / 4, (shoulder[1] + 3 * elbow[1]) / 4)
        canvas.paint(capsule(bare, 0.029 * size, elbow, 0.027 * size), SKIN)


def _draw_trunk(canvas: Canvas, looks: Looks, gait: Gait, view: View) -> None:
    """Draw neck, torso, and what hangs from the waist: skirt, dress or coat."""
    neck_x, neck_y = view(0.0, _NECK, gait.lean)
    hip_x, hip_y = view(0.0, _HIP, 0.0)
    size = looks.build * (1.1 if looks.top == "coat" else 1.06 if looks.top == "jacket" else 1.0)
    seated: Knots = ((0.0, view.width(0.094 * size, 0.07 * size)),)
    if looks.top in ("coat", "dress") or looks.bottom in ("skirt", "long skirt"):
        if looks.top == "dress":
            low, flare = 0.31, 0.125
        elif looks.top == "coat":
            low, flare = 0.30 - 0.06 * (looks.bands & 1), 0.118 * size
        else:
            low, flare = (0.31, 0.118) if looks.bottom == "skirt" else (0.13, 0.125)
        stretch = 0.4 * gait.stride
        hem_x, hem_y = view(0.0, low, 0.0)
        tail = column(
            hip_y - 0.07 * view.scale,
            hem_y,
            ((0.0, hip_x), (1.0, hem_x)),
            (*seated, (1.0, view.width(flare, flare * (0.8 + stretch)))),
        )
        if tail is not None:
            canvas.paint(tail, garments.skirt(tail, looks, view))
    radius = 0.036 * view.scale
    head_x, head_y = view(0.0, 0.875, gait.lean)
    canvas.paint(capsule((head_x, head_y), radius, (neck_x, neck_y + radius), radius), SKIN)
    shape = column(
        neck_y,
        hip_y,
        ((0.0, neck_x), (1.0, hip_x)),
        (
            (0.0, view.width(0.046 * size, 0.042 * size)),
            (0.11, view.width(0.112 * size, 0.058 * size)),
            (0.35, view.width(0.108 * size, 0.076 * size)),
            (0.66, view.width(0.088 * size, 0.068 * size)),
            (1.0, view.width(0.098 * size, 0.074 * size)),
        ),
    )
    if shape is not None:
        canvas.paint(shape, garments.torso(shape, looks, view))
    if looks.scarf:
        canvas.paint(ellipse(neck_x, neck_y, view.width(0.062, 0.058), 0.03 * view.scale), SCARF)
        if view.front > 0.3:
            end = (neck_x + 0.03 * view.scale, neck_y + 0.14 * view.scale)
            canvas.paint(capsule((neck_x, neck_y), radius * 0.6, end, radius * 0.6), SCARF)


def _draw_backpack(canvas: Canvas, looks: Looks, gait: Gait, view: View) -> None:
    x, top = view(0.0, 0.80, gait.lean - 0.10)
    below, bottom = view(0.0, 0.55, -0.105)
    wide, middle = view.width(0.08, 0.048), (top + bottom) / 2
    canvas.paint(
        column(
            top,
            bottom,
            ((0.0, x), (1.0, below)),
            ((0.0, wide * 0.7), (0.2, wide), (0.9, wide * 1.06), (1.0, wide * 0.9)),
        ),
        BAG,
    )
    if view.front < 0.3 and looks.bands & 1:
        pocket = box(x - wide * 0.7, middle, x + wide * 0.7, bottom - 2.0)
        canvas.paint(pocket, STRAP)


def _draw_bag(
    canvas: Canvas,
    view: View,
    place: tuple[float, float, float],
    half_width: float,
    half_height: float,
) -> None:
    """Draw a bag on the hip, unless the body hides it."""
    if view.depth(place[0], place[2]) < -0.05:
        return
    x, y = view(*place)
    half = view.width(0.022, half_width)
    drop = half_height * view.scale
    canvas.paint(box(x - half, y - drop * 0.8, x + half, y + drop * 0.8), BAG)
    canvas.paint(box(x - half, y - drop * 0.8, x + half, y - drop * 0.3), STRAP)
