"""Weather: snow, frost, fog, rain, bright light, and water or mud on the lens.

The equations and levels of all but rain are ImageNet-C's (Hendrycks and Dietterich 2019); rain is
that of Market-1501-C (Chen et al. 2021), which takes the others over. ImageNet-C lays photographs
of frost over an image, whose rights are not stated: here the frost is computed (`frost_layer`), of
their colour and contrast. Numbers under frost are therefore no copies of the paper's.
"""

import numpy as np
from PIL import Image, ImageDraw
from scipy.ndimage import uniform_filter

from attacks.corruptions.picture import Picture, at, of_channels, smeared, unit, zoomed

_GREY = np.array([0.299, 0.587, 0.114])
"""How bright the channels look (ITU-R BT.601)."""


def snow(picture: Picture, severity: int, rng: np.random.Generator) -> Picture:
    """Return the image whitened, with flakes that fall: m · x + (1 − m) · max(x, 1.5 · grey + ½).

    The flakes are normal noise, enlarged, cut off below a threshold and smeared; they are added
    once as they are and once turned by half a circle.
    """
    mean, deviation, zoom, threshold, radius, sigma, keep = at(
        (
            (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
            (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
            (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
            (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
            (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
        ),
        severity,
    )
    flakes = zoomed(rng.normal(mean, deviation, picture.shape[:2]), zoom)
    flakes = unit(np.where(flakes < threshold, 0, flakes))
    flakes = smeared(flakes, radius=radius, sigma=sigma, degrees=rng.uniform(-135, -45))
    white = np.maximum(picture, (picture @ _GREY)[..., None] * 1.5 + 0.5)
    fallen = (flakes + np.rot90(flakes, 2))[..., None]
    return unit(keep * picture + (1 - keep) * white + fallen)


def frost(picture: Picture, severity: int, rng: np.random.Generator) -> Picture:
    """Return a · x + b · frost."""
    a, b = at(((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)), severity)
    height, width = picture.shape[:2]
    return unit(a * picture + b * frost_layer(height, width, rng))


def frost_layer(height: int, width: int, rng: np.random.Generator) -> Picture:
    """Return (H, W, 3) frost: bluish crystals, the ridges of a plasma.

    ImageNet-C's six photographs have a mean grey from 0.35 to 0.81, deviations from 0.06 to 0.18
    and more blue than red by about 0.12; so has this.
    """
    field = plasma(height, width, 1.7, rng)
    ridges = 1 - np.abs(2 * field - 1)
    ridges = (ridges - ridges.mean()) / max(ridges.std(), 1e-6)
    grey = rng.uniform(0.35, 0.81) + rng.uniform(0.06, 0.18) * ridges
    return unit(grey[..., None] + np.array([-0.07, 0.02, 0.05]))


def fog(picture: Picture, severity: int, rng: np.random.Generator) -> Picture:
    """Return (x + c · plasma) · m / (m + c), m being the largest value of x."""
    c, decay = at(((1.5, 2.0), (2.0, 2.0), (2.5, 1.7), (2.5, 1.5), (3.0, 1.4)), severity)
    brightest = picture.max()
    height, width = picture.shape[:2]
    mist = plasma(height, width, decay, rng)[..., None]
    return unit((picture + c * mist) * brightest / (brightest + c))


def plasma(height: int, width: int, decay: float, rng: np.random.Generator) -> Picture:
    """Return (H, W) clouds in [0, 1] by the diamond-square algorithm.

    On a torus as large as the next power of two; from each halving of the grid to the next, new
    points are the mean of their four neighbours and noise, which becomes decay² times weaker.

    Args:
        height: of the part that is returned.
        width: likewise.
        decay: the smaller, the finer the clouds are.
        rng: source of chance.
    """
    side = 1 << (max(height, width) - 1).bit_length()
    field = np.zeros((side, side))
    step, strength = side, 1.0
    while step > 1:
        half = step // 2
        corners = field[::step, ::step]
        pairs = corners + np.roll(corners, -1, axis=0)
        centres = (pairs + np.roll(pairs, -1, axis=1)) / 4
        centres = centres + strength * rng.uniform(-1, 1, centres.shape)
        field[half::step, half::step] = centres
        across = centres + np.roll(centres, 1, axis=0) + corners + np.roll(corners, -1, axis=1)
        down = centres + np.roll(centres, 1, axis=1) + corners + np.roll(corners, -1, axis=0)
        field[::step, half::step] = across / 4 + strength * rng.uniform(-1, 1, across.shape)
        field[half::step, ::step] = down / 4 + strength * rng.uniform(-1, 1, down.shape)
        step, strength = half, strength / decay**2
    field -= field.min()
    found: Picture = (field / field.max())[:height, :width]
    return found


def brightness(picture: Picture, severity: int, _: np.random.Generator) -> Picture:
    """Return the image with its value in HSV raised by c, hue and saturation as they were."""
    c = at((0.1, 0.2, 0.3, 0.4, 0.5), severity)
    value = picture.max(axis=-1, keepdims=True)
    brighter = unit(value + c)
    # Black has no hue and no saturation, so that it becomes grey.
    return np.where(value > 0, picture / np.where(value > 0, value, 1) * brighter, brighter)


def rain(picture: Picture, severity: int, rng: np.random.Generator) -> Picture:
    """Return the image with grey streaks, blurred by a box of 2 + severity pixels and darkened.

    One streak for every 770, 600 or 500 pixels of the image, 10, 30 or 60 pixels long, all of one
    slant of at most 10 pixels; the image becomes 0.05 + 0.05 · severity darker. Streaks longer than
    the image start at its top (the paper enlarges such images).
    """
    per, length = at(((770, 10), (600, 30), (600, 30), (500, 60), (500, 60)), severity)
    height, width = picture.shape[:2]
    slant = int(rng.uniform(-10, 10))
    streaks = Image.new("L", (width, height))
    draw = ImageDraw.Draw(streaks)
    for _ in range(height * width // per):
        x = int(rng.integers(min(0, slant), max(width - max(0, slant), 1), endpoint=True))
        y = int(rng.integers(0, max(height - length, 0), endpoint=True))
        draw.line((x, y, x + slant, y + length), fill=1)
    wet = np.where(np.asarray(streaks)[..., None] > 0, 200 / 255, picture)
    size = 2 + severity
    blurred = of_channels(lambda layer: uniform_filter(layer, size, mode="mirror"), wet)
    return unit(blurred - (0.05 + 0.05 * severity))
