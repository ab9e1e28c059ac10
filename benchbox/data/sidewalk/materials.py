"""What a pixel of the drawing is made of, and the colours a person gives to it."""

import numpy as np
from numpy.typing import NDArray

from benchbox.data.sidewalk.wardrobe import Colour, Looks

SKIN, HAIR, EYE, LIP = 1, 2, 3, 4
UPPER, UPPER2, INNER, SLEEVE, SEAM = 5, 6, 7, 8, 9
LOWER, LOWER2, SHOE, SOLE = 10, 11, 12, 13
BAG, STRAP, HAT, SCARF, GLASS, BEARD = 14, 15, 16, 17, 18, 19
OCCLUDER, OCCLUDER2, OCCLUDER3 = 20, 21, 22
PERSON = 32
"""The materials of a second pedestrian are those of the first plus this."""

COUNT = 64


def _shade(colour: Colour, percent: int) -> Colour:
    """Return a colour made darker (or lighter, above 100 percent)."""
    red, green, blue = (min(255, value * percent // 100) for value in colour)
    return red, green, blue


def _mix(first: Colour, second: Colour, percent: int) -> Colour:
    """Return ``percent`` of the first colour with the rest of the second."""
    red, green, blue = (
        (a * percent + b * (100 - percent)) // 100 for a, b in zip(first, second, strict=True)
    )
    return red, green, blue


def fill(palette: NDArray[np.uint8], looks: Looks, offset: int = 0) -> None:
    """Write a person's colours into a (64, 3) palette, from ``offset`` on."""
    colours = {
        SKIN: looks.skin,
        HAIR: looks.hair,
        EYE: _mix((30, 24, 22), looks.skin, 70),
        LIP: _mix((140, 60, 56), looks.skin, 45),
        UPPER: looks.upper,
        UPPER2: looks.upper2,
        INNER: looks.inner,
        SLEEVE: looks.upper2 if looks.contrast_sleeves else looks.upper,
        SEAM: _shade(looks.upper, 62),
        LOWER: looks.lower,
        LOWER2: looks.lower2,
        SHOE: looks.shoe,
        SOLE: _mix((225, 222, 216), looks.shoe, 60),
        BAG: looks.bag_colour,
        STRAP: _shade(looks.bag_colour, 72),
        HAT: looks.hat_colour,
        SCARF: looks.scarf_colour,
        GLASS: (34, 32, 34),
        BEARD: _mix(looks.hair, looks.skin, 65),
    }
    for material, colour in colours.items():
        palette[offset + material] = colour
