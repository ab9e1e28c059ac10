"""From a planned tracklet to its images: walk, occluders, light, camera."""

import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from benchbox.data.sidewalk import materials
from benchbox.data.sidewalk.cameras import CLIMATES, blurred, camera_of, expose, noisy
from benchbox.data.sidewalk.dice import Dice
from benchbox.data.sidewalk.figure import draw_person
from benchbox.data.sidewalk.plan import Shot, Tracklet
from benchbox.data.sidewalk.pose import Arms, Gait, View
from benchbox.data.sidewalk.raster import HEIGHT, WIDTH, Canvas, box, ellipse
from benchbox.data.sidewalk.scenes import SCENE_HEIGHT, SCENE_WIDTH, Picture, texture
from benchbox.data.sidewalk.sizes import VERSION, Spec
from benchbox.data.sidewalk.wardrobe import FASHIONS, dress

_EDGE = np.uint16(200)  # of 256: the outline of a body part is darker by 22%
_Levels = NDArray[np.uint16]


class Walk:
    """One tracklet's frames, each a small step from the last.

    Args:
        spec: the Sidewalk.
        seed: the Sidewalk's seed.
        tracklet: the walk to render.
    """

    def __init__(self, spec: Spec, seed: int, tracklet: Tracklet) -> None:
        name = (VERSION, spec.domain, spec.size, seed)
        self._tracklet = tracklet
        self._name = (*name, "walk", tracklet.person, tracklet.camera, tracklet.number)
        self._camera = camera_of(spec.domain, spec.size, seed, tracklet.camera)
        self._looks = dress(Dice(*name, "looks", tracklet.person), FASHIONS[spec.domain])
        dice = Dice(*self._name)
        climate = CLIMATES[spec.domain]
        stray = tracklet.kind == "stray"

        self._heading = dice.pick(self._camera.headings) + dice.bell() * 0.5
        self._phase = dice.between(0.0, math.tau)
        self._pace = dice.between(0.35, 0.8)
        self._stride = self._looks.stride * (0.12 if dice.chance(0.14) else dice.between(0.75, 1.1))
        self._arms: Arms = dice.weighted({"swing": 70, "phone": 12, "strap": 8, "pockets": 10})
        self._busy_side = 1 if dice.chance(0.5) else -1
        self._lean = dice.between(0.0, 0.03)
        self._scale = 222.0 * dice.between(0.93, 1.06) * (dice.between(1.2, 1.9) if stray else 1.0)
        self._x = 64.0 + dice.bell() * (34.0 if stray else 3.5)
        self._y = 245.0 + dice.bell() * (60.0 if stray else 3.5)
        self._daylight = dice.spread(climate.daylight)
        self._light = dice.below(49) - 24
        self._scene_x = dice.below(SCENE_WIDTH - 64 - 80)
        self._scene_y = dice.below(SCENE_HEIGHT - 128)
        self._drift = dice.between(-7.0, 7.0)
        # 16 to 47: with it every product in _composite fits 16 bits without a sign.
        self._folds = ((texture(dice, HEIGHT, WIDTH, 8) >> 3) + 32).astype(np.uint16)
        self._hidden = (
            dice.weighted({"post": 3, "low": 4, "person": 4}) if dice.chance(climate.hidden) else ""
        )
        self._occluder = dice.between(0.0, 1.0)
        self._occluder_width = dice.between(0.0, 1.0)
        grey = 60 + dice.below(90)
        tint = [grey + dice.below(24) for _ in range(3)]
        other_name = f"passer-by of {tracklet.person}-{tracklet.camera}-{tracklet.number}"
        self._other = dress(Dice(*name, "looks", other_name), FASHIONS[spec.domain])
        self._palette: NDArray[np.uint8] = np.zeros((materials.COUNT, 3), np.uint8)
        materials.fill(self._palette, self._looks)
        materials.fill(self._palette, self._other, materials.PERSON)
        self._palette[materials.OCCLUDER] = tint
        self._palette[materials.OCCLUDER2] = [value * 3 // 4 for value in tint]
        self._palette[materials.OCCLUDER3] = [60, 100 + tint[0] // 6, 52]

    def frames(self) -> Iterator[tuple[Shot, Picture]]:
        """Yield each shot with its image, (128, 64, 3) uint8."""
        for shot in self._tracklet.shots:
            dice = Dice(*self._name, shot.frame)
            canvas, ground = self._draw(shot.frame, dice)
            picture = self._composite(canvas, ground, shot.frame)
            picture = blurred(picture, self._camera.blur)
            light = self._daylight * dice.spread(0.015)
            picture = noisy(expose(picture, self._camera, light), self._camera.noise, dice)
            yield shot, np.ascontiguousarray(picture.transpose(1, 2, 0))

    def _draw(self, frame: int, dice: Dice) -> tuple[Canvas, tuple[float, float]]:
        """Return the drawing of a frame and where its person's feet are, pixels."""
        view = View(
            facing=self._heading + dice.bell() * 0.06,
            pitch=self._camera.pitch,
            scale=self._scale * (1.0 + dice.bell() * 0.012),
            x=self._x + dice.bell() * 1.6,
            y=self._y + dice.bell() * 1.6,
        )
        phase = self._phase + self._pace * frame
        gait = Gait(phase, self._stride, self._arms, self._busy_side, self._lean)
        canvas = Canvas()
        if self._hidden == "person" and self._occluder < 0.55:
            self._draw_passer_by(canvas, frame)
        draw_person(canvas, self._looks, gait, view)
        if self._hidden == "person" and self._occluder >= 0.55:
            self._draw_passer_by(canvas, frame)
        elif self._hidden == "post":
            middle = 24.0 + 80.0 * self._occluder - self._drift * frame
            half = 4.0 + 7.0 * self._occluder_width
            canvas.paint(box(middle - half, -1.0, middle + half, 257.0), materials.OCCLUDER)
        elif self._hidden == "low":
            top = 172.0 + 50.0 * self._occluder
            middle = 10.0 + 108.0 * self._occluder_width - self._drift * frame
            shape = box(middle - 46.0, top, middle + 46.0, 257.0)
            if self._occluder < 0.5:
                canvas.paint(shape, materials.OCCLUDER2)
            else:
                canvas.paint(shape, materials.OCCLUDER3)
                for place in range(-42, 43, 14):
                    canvas.paint(ellipse(middle + place, top, 11.0, 12.0), materials.OCCLUDER3)
        return canvas, (view.x, view.y)

    def _draw_passer_by(self, canvas: Canvas, frame: int) -> None:
        """Draw a second pedestrian half out of the image."""
        side = 1.0 if self._occluder_width < 0.5 else -1.0
        before = self._occluder >= 0.55
        aside = (58.0 if before else 40.0) + 12.0 * self._occluder_width
        scale = self._scale * (1.08 if before else 0.82)
        other = Canvas()
        draw_person(
            other,
            self._other,
            Gait(self._phase + 1.7 + 0.6 * frame, self._other.stride, "swing", 1, 0.01),
            View(
                self._heading + 2.6 * self._occluder_width,
                self._camera.pitch,
                scale,
                self._x + side * (aside - 0.8 * frame),
                self._y + (8.0 if before else -14.0),
            ),
        )
        drawn = other.material > 0
        np.copyto(canvas.material, other.material + np.uint8(materials.PERSON), where=drawn)
        np.copyto(canvas.across, other.across, where=drawn)

    def _composite(self, canvas: Canvas, ground: tuple[float, float], frame: int) -> Picture:
        """Return the drawing over the scene, (3, 128, 64) uint8, before the camera's own look."""
        material = canvas.material
        shade = _shading(self._light)[canvas.across] + self._folds
        edge = np.zeros(material.shape, np.bool_)
        edge[1:] = material[1:] != material[:-1]
        edge[:, 1:] |= material[:, 1:] != material[:, :-1]
        shade = np.where(edge, shade * _EDGE >> 8, shade)
        scene = self._backdrop(ground, frame)
        covered = (material > 0).astype(np.uint8)
        free = 4 - _sum_of_squares(covered)
        picture = np.empty((3, HEIGHT // 2, WIDTH // 2), np.uint8)
        for channel in range(3):
            colour = self._palette[:, channel].astype(np.uint16)[material]
            lit = np.minimum((colour * (shade >> 1)) >> 7, 255) * covered
            total = _sum_of_squares(lit) + free * scene[channel]
            picture[channel] = np.minimum((total + 2) >> 2, 255)
        return picture

    def _backdrop(self, ground: tuple[float, float], frame: int) -> _Levels:
        """Return the scene behind this frame, with the person's shadow, (3, 128, 64)."""
        moved = self._scene_x + int(self._drift * frame * 0.5)
        left = min(SCENE_WIDTH - 64, max(0, moved))
        top = self._scene_y
        scene = self._camera.scene[:, top : top + 128, left : left + 64].astype(np.uint16)
        shadow = ellipse(ground[0] + self._light * 0.5, ground[1] + 1.0, 40.0, 7.0)
        if shadow is not None:
            canvas = np.zeros((HEIGHT, WIDTH), np.uint8)
            canvas[shadow.rows, shadow.columns] = shadow.mask
            scene = scene * (12 - _sum_of_squares(canvas)) // np.uint16(12)
        return scene


def _sum_of_squares(field: NDArray[np.unsignedinteger]) -> _Levels:
    """Return the sums over 2x2 squares of pixels of an integer field."""
    whole = field.astype(np.uint16)
    rows = whole[0::2] + whole[1::2]
    return rows[:, 0::2] + rows[:, 1::2]


@lru_cache(maxsize=64)
def _shading(light: int) -> _Levels:
    """Return how bright (of 256, less the folds' 32) a round part is at each place across it.

    Args:
        light: -24 to 24, how much brighter its right side is than its left.
    """
    levels = []
    for across in range(256):
        place = (across - 128) / 128
        levels.append(round(230 - 62 * place * place + light * place))
    return np.array(levels, np.uint16)
