"""A camera's own look: white balance, exposure, gamma, blur, noise, tilt, and where people walk."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from benchbox.data.sidewalk.dice import Dice
from benchbox.data.sidewalk.scenes import SURROUNDINGS, Picture, backdrop
from benchbox.data.sidewalk.sizes import VERSION


@dataclass(frozen=True, slots=True)
class Climate:
    """How much a domain's cameras differ, and how bright and blurred its images are.

    Attributes:
        exposure: mean gain of all cameras.
        balance: standard deviation of the log of each colour channel's own gain.
        gain: standard deviation of the log of the gain that all channels share.
        gamma: standard deviation of the log of the tone curve's exponent.
        daylight: standard deviation of the log of a tracklet's illumination.
        hidden: how often something stands before a person.
        noise: standard deviation of the pixel noise in grey levels, at least and at most.
        blurs: blur passes (3x3 binomial) to choose from.
        pitch: radians the cameras look down, at least and at most.
        tint: (red, green, blue) gains of the light.
        haze: the share of white fog in every colour.
    """

    exposure: float
    balance: float
    gain: float
    gamma: float
    daylight: float
    hidden: float
    noise: tuple[float, float]
    blurs: tuple[int, ...]
    pitch: tuple[float, float]
    tint: tuple[float, float, float]
    haze: float


CLIMATES: dict[str, Climate] = {
    "sidewalk-a": Climate(
        exposure=1.0, balance=0.026, gain=0.050, gamma=0.060, daylight=0.050, hidden=0.12,
        noise=(2.5, 6.0), blurs=(0, 0, 1, 1), pitch=(0.04, 0.28), tint=(1.0, 1.0, 1.0), haze=0.0,
    ),
    "sidewalk-b": Climate(
        exposure=1.04, balance=0.018, gain=0.034, gamma=0.040, daylight=0.034, hidden=0.12,
        noise=(2.0, 5.0), blurs=(0, 1, 1, 2), pitch=(0.16, 0.44), tint=(0.95, 1.0, 1.06), haze=0.05,
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Camera:
    """One camera.

    Attributes:
        gains: (red, green, blue) factors; 1 leaves a channel as it is.
        gamma: the exponent of its tone curve.
        noise: standard deviation of its pixel noise, grey levels.
        blur: how many passes of a 3x3 binomial blur its images get.
        haze: the share of white fog in every colour.
        pitch: radians by which it looks down.
        headings: the directions people mostly walk in before it, radians.
        scene: its backdrop, (3, 168, 512) uint8.
    """

    gains: tuple[float, float, float]
    gamma: float
    noise: float
    blur: int
    haze: float
    pitch: float
    headings: tuple[float, float]
    scene: Picture


@lru_cache(maxsize=16)
def camera_of(domain: str, size: str, seed: int, number: int) -> Camera:
    """Return a camera of a Sidewalk (``number`` counts from 1)."""
    dice = Dice(VERSION, domain, size, seed, "camera", number)
    climate = CLIMATES[domain]
    common = climate.exposure * dice.spread(climate.gain)
    heading = dice.between(0.0, math.tau)
    return Camera(
        gains=(
            common * climate.tint[0] * dice.spread(climate.balance),
            common * climate.tint[1] * dice.spread(climate.balance),
            common * climate.tint[2] * dice.spread(climate.balance),
        ),
        gamma=dice.spread(climate.gamma),
        noise=dice.between(*climate.noise),
        blur=dice.pick(climate.blurs),
        haze=climate.haze * dice.between(0.7, 1.3),
        pitch=dice.between(*climate.pitch),
        headings=(heading, heading + dice.between(2.4, 3.9)),
        scene=backdrop(dice, SURROUNDINGS[domain]),
    )


@lru_cache(maxsize=64)
def _tone_curve(gamma: float) -> NDArray[np.uint8]:
    """Return the 256 output levels of a tone curve."""
    levels = [round(255.0 * math.pow(level / 255.0, gamma)) for level in range(256)]
    return np.array(levels, np.uint8)


def expose(picture: Picture, camera: Camera, illumination: float) -> Picture:
    """Return a (3, h, w) picture as a camera records its colours; integer tables only."""
    levels = np.arange(256, dtype=np.int32)
    curve = _tone_curve(camera.gamma)
    out = np.empty_like(picture)
    fog = round(camera.haze * 4096)
    hazy = levels * (4096 - fog) + 225 * fog >> 12
    for channel, gain in enumerate(camera.gains):
        factor = round(gain * illumination * 4096)
        table = curve[np.minimum(hazy * factor >> 12, 255)]
        out[channel] = table[picture[channel]]
    return out


def blurred(picture: Picture, passes: int) -> Picture:
    """Return a (3, h, w) picture after that many 3x3 binomial blurs, in integers."""
    for _ in range(passes):
        wide = np.pad(picture, ((0, 0), (1, 1), (1, 1)), mode="edge").astype(np.int16)
        rows = wide[:, :-2] + 2 * wide[:, 1:-1] + wide[:, 2:]
        total = rows[:, :, :-2] + 2 * rows[:, :, 1:-1] + rows[:, :, 2:]
        picture = ((total + 8) >> 4).astype(np.uint8)
    return picture


def noisy(picture: Picture, deviation: float, dice: Dice) -> Picture:
    """Return a (3, h, w) picture with noise: the sum of two uniform bytes, scaled."""
    octets = dice.octets(2, *picture.shape)
    noise = octets[0].astype(np.int32) + octets[1] - 255
    # Two uniform bytes have a deviation of 104.5 together.
    factor = round(deviation / 104.5 * 4096)
    out: Picture = np.clip(picture + (noise * factor + 2048 >> 12), 0, 255).astype(np.uint8)
    return out
