"""Corruptions: what weather, light, lenses, sensors and files do to images; nobody attacks.

The 20 of Market-1501-C (Chen, Wang and Zheng 2021, "Benchmarks for Corruption Invariant Person
Re-identification"), of which 19 are ImageNet-C's (Hendrycks and Dietterich 2019), at five
severities each; a family a file. Written anew: the libraries that have them draw from one global
source of chance, so that what an image becomes depends on those before it, and none has all.
"""

from collections.abc import Mapping
from types import MappingProxyType

from attacks.corruptions.blur import (
    defocus_blur,
    gaussian_blur,
    glass_blur,
    motion_blur,
    zoom_blur,
)
from attacks.corruptions.digital import (
    contrast,
    elastic_transform,
    jpeg_compression,
    pixelate,
    saturate,
)
from attacks.corruptions.noise import gaussian_noise, impulse_noise, shot_noise, speckle_noise
from attacks.corruptions.picture import SEVERITIES, Corruption, Picture
from attacks.corruptions.spatter import spatter
from attacks.corruptions.weather import brightness, fog, frost, rain, snow

FAMILIES: Mapping[str, tuple[Corruption, ...]] = MappingProxyType(
    {
        "noise": (gaussian_noise, shot_noise, impulse_noise, speckle_noise),
        "blur": (defocus_blur, glass_blur, motion_blur, zoom_blur, gaussian_blur),
        "weather": (snow, frost, fog, brightness, rain, spatter),
        "digital": (contrast, elastic_transform, pixelate, jpeg_compression, saturate),
    }
)
"""Family → its corruptions, in the order of tables."""

CORRUPTIONS: Mapping[str, Corruption] = MappingProxyType(
    {each.__name__: each for family in FAMILIES.values() for each in family}
)
"""Name → corruption, in the order of tables."""

__all__ = ["CORRUPTIONS", "FAMILIES", "SEVERITIES", "Corruption", "Picture"]
