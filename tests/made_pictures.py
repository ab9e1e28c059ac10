"""Images to corrupt, and a source of chance."""

import numpy as np


def chance(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def noise(height: int = 128, width: int = 64) -> np.ndarray:
    """An image of 8-bit values without structure."""
    return chance(7).integers(0, 256, (height, width, 3)) / 255


def scene(height: int = 128, width: int = 64) -> np.ndarray:
    """A smooth image of 8-bit values with an edge."""
    rows, columns = np.mgrid[:height, :width]
    smooth = np.stack([rows / height, columns / width, (rows + columns) / (height + width)], -1)
    smooth[height // 3 :, width // 2 :] *= 0.5
    return np.round(smooth * 255) / 255


def grey(value: float, height: int = 300, width: int = 200) -> np.ndarray:
    return np.full((height, width, 3), value)
