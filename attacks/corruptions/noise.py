"""Noise: of the sensor, of few photons, of broken pixels, and in proportion to the light.

The equations and levels are those of ImageNet-C (Hendrycks and Dietterich 2019), which
Market-1501-C takes over; c is the level of the severity, x a pixel's channel in [0, 1].
"""

import numpy as np

from attacks.corruptions.picture import Picture, at, unit


def gaussian_noise(picture: Picture, severity: int, rng: np.random.Generator) -> Picture:
    """Return x + c · N(0, 1): noise of a sensor in poor light."""
    c = at((0.08, 0.12, 0.18, 0.26, 0.38), severity)
    return unit(picture + c * rng.standard_normal(picture.shape))


def shot_noise(picture: Picture, severity: int, rng: np.random.Generator) -> Picture:
    """Return Poisson(c · x) / c: noise of counting photons, c of them at full light."""
    c = at((60, 25, 12, 5, 3), severity)
    return unit(rng.poisson(c * picture) / c)


def impulse_noise(picture: Picture, severity: int, rng: np.random.Generator) -> Picture:
    """Return x with a share c of all channels' values set to 0 or 1 at equal odds."""
    c = at((0.03, 0.06, 0.09, 0.17, 0.27), severity)
    struck = rng.random(picture.shape) < c
    return np.where(struck, rng.integers(0, 2, picture.shape), picture)


def speckle_noise(picture: Picture, severity: int, rng: np.random.Generator) -> Picture:
    """Return x + c · x · N(0, 1): noise that is the stronger, the brighter a pixel is."""
    c = at((0.15, 0.2, 0.35, 0.45, 0.6), severity)
    return unit(picture + c * picture * rng.standard_normal(picture.shape))
