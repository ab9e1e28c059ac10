"""What all corruptions share: the form of an image and of a corruption, and movements of pixels."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform, gaussian_filter

Picture: TypeAlias = NDArray[np.float64]
"""(H, W, 3) an image in [0, 1], or (H, W) a layer of one."""

Corruption: TypeAlias = Callable[[Picture, int, np.random.Generator], Picture]
"""From an image in [0, 1], a severity from 1 to 5 and a source of chance to an image in [0, 1]."""

T = TypeVar("T")

SEVERITIES = (1, 2, 3, 4, 5)


def at(levels: tuple[T, T, T, T, T], severity: int) -> T:
    """Return the parameters of a severity, the levels being given from 1 to 5."""
    return levels[severity - 1]


def unit(values: NDArray[Any]) -> Picture:
    """Return values held in [0, 1]."""
    return np.asarray(values, dtype=np.float64).clip(0, 1)


def smoothed(picture: Picture, sigma: float) -> Picture:
    """Return an image after a Gaussian filter on each channel; its edges go on outside of it."""
    sigmas = (sigma, sigma, *(0 for _ in picture.shape[2:]))
    found: Picture = gaussian_filter(picture, sigmas, mode="nearest", truncate=4)
    return found


def of_channels(change: Callable[[Picture], Any], picture: Picture) -> Picture:
    """Return an image with each of its channels (H, W) changed alike, or a layer changed."""
    if picture.ndim == 2:
        return np.asarray(change(picture))
    return np.stack([change(picture[..., channel]) for channel in range(3)], axis=-1)


def zoomed(picture: Picture, factor: float) -> Picture:
    """Return an image of the same size, enlarged about its centre (bilinear)."""
    size = np.array(picture.shape[:2])
    centre = (size - 1) / 2
    enlarge = partial(
        affine_transform,
        matrix=np.full(2, 1 / factor),
        offset=centre - centre / factor,
        order=1,
        mode="nearest",
    )
    return of_channels(enlarge, picture)


def moved(picture: Picture, down: int, right: int) -> Picture:
    """Return an image moved by whole pixels; its edges go on into what becomes free."""
    height, width = picture.shape[:2]
    rows = (np.arange(height) - down).clip(0, height - 1)
    columns = (np.arange(width) - right).clip(0, width - 1)
    found: Picture = picture[rows[:, None], columns]
    return found


def smeared(picture: Picture, *, radius: int, sigma: float, degrees: float) -> Picture:
    """Return an image as if it had moved: Σ wᵢ · (the image i pixels along a direction).

    wᵢ ∝ exp(−i² / 2σ²) for i = 0 … 2 · radius, ImageMagick's motion blur as Hendrycks and
    Dietterich use it. A common implementation without ImageMagick stops where a step is longer
    than the image is wide, so that narrow images darken; here the edge goes on.

    Args:
        picture: an image or a layer.
        radius: half the number of steps.
        sigma: of the weights, in pixels.
        degrees: the direction, 0 along the rows; rounded to whole pixels at each step.
    """
    steps = np.arange(2 * radius + 1)
    weights = np.exp(-(steps**2) / (2 * sigma**2))
    weights /= weights.sum()
    angle = np.deg2rad(degrees)
    down = -np.ceil(steps * np.sin(angle) - 0.5).astype(int)
    right = -np.ceil(steps * np.cos(angle) - 0.5).astype(int)
    found = np.zeros_like(picture)
    for weight, one_down, one_right in zip(weights, down, right, strict=True):
        found += weight * moved(picture, one_down, one_right)
    return found
