"""Where a walking body's joints are, and where a camera sees them."""

import math
from dataclasses import dataclass
from typing import Literal

from benchbox.data.sidewalk.dice import cosine, sine

Arms = Literal["swing", "phone", "strap", "pockets"]
Point = tuple[float, float]

QUARTER = 1.5707963
HALF = 3.1415927


@dataclass(frozen=True, slots=True)
class Gait:
    """How a person walks at one moment.

    Attributes:
        phase: where in its cycle the stride is, radians.
        stride: how far the legs swing, radians; near 0 stands still.
        arms: what the arms do.
        busy_side: the arm that does it, +1 the left and -1 the right one.
        lean: how far the shoulders are ahead of the hips, in body heights.
    """

    phase: float
    stride: float
    arms: Arms
    busy_side: int
    lean: float


@dataclass(frozen=True, slots=True)
class View:
    """How a camera sees a body: body coordinates to pixels at twice the image's size.

    Body coordinates, in body heights: x to the person's left, y up, z forward.

    Attributes:
        facing: where the body is turned, radians; 0 looks into the camera, a quarter turn to the
            image's right.
        pitch: radians by which the camera looks down.
        scale: how many pixels high the body is.
        x: column of the pixel between the feet.
        y: row of the pixel between the feet.
    """

    facing: float
    pitch: float
    scale: float
    x: float
    y: float

    @property
    def front(self) -> float:
        """1 when seen from the front, 0 from the side, -1 from the back."""
        return cosine(self.facing)

    @property
    def right(self) -> float:
        """1 when the person looks to the image's right, -1 to its left."""
        return sine(self.facing)

    def depth(self, x: float, z: float) -> float:
        """Return how much nearer than the body's axis a point is, in body heights."""
        return z * self.front - x * self.right

    def __call__(self, x: float, y: float, z: float) -> Point:
        """Return the pixel of a point in body coordinates."""
        tilt = sine(self.pitch)
        return (
            self.x + self.scale * (x * self.front + z * self.right),
            self.y - self.scale * (y * cosine(self.pitch) - self.depth(x, z) * tilt),
        )

    def width(self, side: float, front: float) -> float:
        """Return the seen half width, in pixels, of an elliptic trunk.

        Args:
            side: its half width from shoulder to shoulder, in body heights.
            front: its half depth from front to back, in body heights.
        """
        wide, deep = side * self.front, front * self.right
        return self.scale * math.sqrt(wide * wide + deep * deep)


@dataclass(frozen=True, slots=True)
class Leg:
    """A leg's joints in body coordinates; ``side`` is +1 for the left one."""

    side: int
    hip: tuple[float, float, float]
    knee: tuple[float, float, float]
    ankle: tuple[float, float, float]
    toe: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Arm:
    """An arm's joints in body coordinates; ``side`` is +1 for the left one."""

    side: int
    shoulder: tuple[float, float, float]
    elbow: tuple[float, float, float]
    wrist: tuple[float, float, float]


def leg(gait: Gait, side: int, length: float) -> Leg:
    """Return a leg in mid-stride; ``length`` (about 1) stretches it."""
    phase = gait.phase if side > 0 else gait.phase + HALF
    swing = gait.stride * sine(phase)
    # The knee bends while the leg swings forward, so that the foot clears the ground.
    bend = 0.06 + 1.3 * gait.stride * max(0.0, cosine(phase))
    thigh, shin = 0.235 * length, 0.235 * length
    hip = (side * 0.048, 0.505 * length, 0.0)
    knee = (hip[0], hip[1] - thigh * cosine(swing), thigh * sine(swing))
    low = swing - bend
    ankle = (hip[0] * 0.85, knee[1] - shin * cosine(low), knee[2] + shin * sine(low))
    toe = (ankle[0] + side * 0.012, ankle[1] - 0.024 + 0.05 * sine(low), ankle[2] + 0.088)
    return Leg(side, hip, knee, ankle, toe)


def arm(gait: Gait, side: int, shoulder_width: float) -> Arm:
    """Return an arm; ``shoulder_width`` is half the distance of the shoulder joints."""
    phase = gait.phase if side > 0 else gait.phase + HALF
    swing = -0.85 * gait.stride * sine(phase)
    bend = 0.25 + 0.5 * gait.stride * (1.0 + sine(phase + HALF))
    out = 0.10
    if gait.arms != "swing" and side == gait.busy_side:
        swing, bend = {"phone": (0.35, 1.75), "strap": (0.25, 2.35), "pockets": (-0.25, 0.65)}[
            gait.arms
        ]
        out = 0.10 if gait.arms == "phone" else 0.22
    shoulder = (side * shoulder_width, 0.795, gait.lean)
    elbow = (
        shoulder[0] + side * 0.165 * out,
        shoulder[1] - 0.165 * cosine(swing),
        shoulder[2] + 0.165 * sine(swing),
    )
    inward = 0.03 if gait.arms != "swing" and side == gait.busy_side else 0.0
    wrist = (
        elbow[0] - side * inward,
        elbow[1] - 0.145 * cosine(swing + bend),
        elbow[2] + 0.145 * sine(swing + bend),
    )
    return Arm(side, shoulder, elbow, wrist)
