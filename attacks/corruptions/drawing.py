"""Corrupted images, each with a chance of its own: neither order nor batch nor worker matters."""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attacks.corruptions import CORRUPTIONS


@dataclass(frozen=True, slots=True)
class Drawn:
    """What happens to an image.

    Attributes:
        corruption: its name in `CORRUPTIONS`.
        severity: from 1 to 5.
    """

    corruption: str
    severity: int


def corrupted(pixels: NDArray[np.uint8], drawn: Drawn, *chance: object) -> NDArray[np.uint8]:
    """Return a corrupted image, rounded to 8 bits.

    Args:
        pixels: (H, W, 3) the image, of any size.
        drawn: what happens to it.
        chance: whatever tells this draw from others, such as a seed and the image's name; the same
            parts give the same image.
    """
    source = source_of_chance(drawn.corruption, drawn.severity, *chance)
    changed = CORRUPTIONS[drawn.corruption](pixels / 255, drawn.severity, source)
    return np.round(changed * 255).astype(np.uint8)


def source_of_chance(*parts: object) -> np.random.Generator:
    """Return a generator seeded by a digest of ``parts``: the same parts, the same draws."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16]))
