"""Blur: out of focus, through frosted glass, by motion, by zooming, and Gaussian.

The equations and levels are those of ImageNet-C (Hendrycks and Dietterich 2019), which
Market-1501-C takes over. Radii are in pixels of the image as the dataset has it.
"""

from functools import partial

import numpy as np
from scipy.ndimage import correlate, correlate1d

from attacks.corruptions.picture import Picture, at, of_channels, smeared, smoothed, unit, zoomed


def gaussian_blur(picture: Picture, severity: int, _: np.random.Generator) -> Picture:
    """Return the image after a Gaussian filter of c pixels."""
    return unit(smoothed(picture, at((1.0, 2.0, 3.0, 4.0, 6.0), severity)))


def defocus_blur(picture: Picture, severity: int, _: np.random.Generator) -> Picture:
    """Return the image after a filter with a disk, as a lens out of focus makes of a point."""
    radius, softness = at(((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)), severity)
    blur = partial(correlate, weights=disk(radius, softness), mode="mirror")
    return unit(of_channels(blur, picture))


def disk(radius: int, softness: float) -> Picture:
    """Return (K, K) a disk of sum 1, K = 2 · radius + 5, its edge softened.

    (Widely used code has no room for the softened edge from a radius of 8 on, and mirrors it
    inwards, which makes images up to 1 % brighter.)

    Args:
        radius: in pixels.
        softness: sigma of a Gaussian of 3 taps, 5 above a radius of 8, on the disk's edge.
    """
    reach = np.arange(-radius - 2, radius + 3)
    inside = (reach[:, None] ** 2 + reach**2 <= radius**2).astype(float)
    taps = np.arange(-1, 2) if radius <= 8 else np.arange(-2, 3)
    weights = np.exp(-(taps**2) / (2 * softness**2))
    found: Picture = inside / inside.sum()
    for axis in (0, 1):
        found = correlate1d(found, weights / weights.sum(), axis=axis, mode="constant")
    return found


def motion_blur(picture: Picture, severity: int, rng: np.random.Generator) -> Picture:
    """Return the image smeared along a direction of −45° to 45°."""
    radius, sigma = at(((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)), severity)
    return unit(smeared(picture, radius=radius, sigma=sigma, degrees=rng.uniform(-45, 45)))


def zoom_blur(picture: Picture, severity: int, _: np.random.Generator) -> Picture:
    """Return the mean of the image and of enlargements of it, by 1 to at most 1.31."""
    stop, step = at(
        ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)), severity
    )
    factors = np.arange(1, stop, step)
    found = picture + sum(zoomed(picture, factor) for factor in factors)
    return unit(found / (len(factors) + 1))


def glass_blur(picture: Picture, severity: int, rng: np.random.Generator) -> Picture:
    """Return the image with pixels swapped with near ones, between two Gaussian filters.

    From the bottom right to the top left every pixel is swapped with one at most d away, several
    times. (Widely used code swaps two views of one array, which copies instead.)
    """
    sigma, far, times = at(
        ((0.7, 1, 2), (0.9, 2, 1), (1.0, 2, 3), (1.1, 3, 2), (1.5, 4, 2)), severity
    )
    height, width = picture.shape[:2]
    pixels = np.floor(smoothed(picture, sigma) * 255).reshape(-1, 3) / 255
    place = list(range(height * width))
    rows, columns = range(height - far, far, -1), range(width - far, far, -1)
    for _ in range(times):
        steps = rng.integers(-far, far, (len(rows), len(columns), 2)) @ np.array([width, 1])
        for row, of_row in zip(rows, steps.tolist(), strict=True):
            for column, step in zip(columns, of_row, strict=True):
                here = row * width + column
                place[here], place[here + step] = place[here + step], place[here]
    return unit(smoothed(pixels[place].reshape(picture.shape), sigma))
