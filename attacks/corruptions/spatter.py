"""Spatter: drops of water (severities 1 to 3) or mud (4 and 5) on the lens.

The equations and levels are those of ImageNet-C (Hendrycks and Dietterich 2019). There the outline
of the drops is found by Canny's edge detector; here it is the border of the mask that the detector
is given, which is where its edges are.
"""

import numpy as np
from scipy.ndimage import binary_erosion, correlate, distance_transform_edt, uniform_filter

from attacks.corruptions.picture import Picture, at, smoothed, unit

_WATER = np.array([175, 238, 238]) / 255
_MUD = np.array([63, 42, 20]) / 255
_LIT = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])
"""Light from the top left, as an emboss filter has it."""

_OPAQUE = 0.8
_DEEP = 20
"""Pixels from the outline at which a drop is as thick as it gets."""


def spatter(picture: Picture, severity: int, rng: np.random.Generator) -> Picture:
    """Return x + m · water, or (1 − m) · x + m · mud, m being where drops are and how thick.

    The drops are where smoothed normal noise is above a threshold.
    """
    mean, deviation, sigma, threshold, strength, liquid = at(
        (
            (0.65, 0.3, 4, 0.69, 0.6, "water"),
            (0.65, 0.3, 3, 0.68, 0.6, "water"),
            (0.65, 0.3, 2, 0.68, 0.5, "water"),
            (0.65, 0.3, 1, 0.65, 1.5, "mud"),
            (0.67, 0.4, 1, 0.65, 1.5, "mud"),
        ),
        severity,
    )
    layer = smoothed(rng.normal(mean, deviation, picture.shape[:2]), sigma)
    if liquid == "mud":
        mask = smoothed((layer > threshold).astype(float), strength)
        mud = np.where(mask < _OPAQUE, 0, mask)[..., None]
        return unit((1 - mud) * picture + mud * _MUD)
    thick = strength * thickness(np.where(layer < threshold, 0, layer))
    return unit(picture + thick[..., None] * _WATER)


def thickness(drops: Picture) -> Picture:
    """Return (H, W) how much light drops throw back, 1 where most: lit on one side.

    The distance to the drops' outline, at most 20 pixels, smoothed, equalised and embossed.

    Args:
        drops: (H, W) in [0, 1], 0 where there is none.
    """
    wet = drops > 0
    if not wet.any() or wet.all():
        return np.zeros_like(drops)
    outline = wet & ~binary_erosion(wet, border_value=1)
    distance = np.minimum(distance_transform_edt(~outline), _DEEP)
    level = equalised(uniform_filter(distance, 3, mode="mirror").astype(np.uint8))
    lit = correlate(level, _LIT, mode="mirror").clip(0, 255)
    light = drops * uniform_filter(lit, 3, mode="mirror")
    brightest = light.max()
    return unit(light / brightest) if brightest > 0 else light


def equalised(levels: np.ndarray) -> Picture:
    """Return 8-bit levels spread over 0 to 255 so that each range of them is about as frequent."""
    counts = np.bincount(levels.ravel(), minlength=256).cumsum()
    lowest = counts[levels.min()]
    spread = np.round((counts - lowest) / max(levels.size - lowest, 1) * 255)
    found: Picture = np.maximum(spread, 0)[levels]
    return found
