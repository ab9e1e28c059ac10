"""What cameras and files do: contrast, elastic distortion, large pixels, JPEG, saturation.

The equations and levels are those of ImageNet-C (Hendrycks and Dietterich 2019), which
Market-1501-C takes over.
"""

from functools import partial
from io import BytesIO

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter, map_coordinates

from attacks.corruptions.picture import Picture, at, of_channels, unit


def contrast(picture: Picture, severity: int, _: np.random.Generator) -> Picture:
    """Return c · (x − mean) + mean, the mean being the image's in each channel."""
    c = at((0.4, 0.3, 0.2, 0.1, 0.05), severity)
    mean = picture.mean(axis=(0, 1))
    return unit(c * (picture - mean) + mean)


def saturate(picture: Picture, severity: int, _: np.random.Generator) -> Picture:
    """Return the image with its saturation in HSV changed to a · s + b, at most 1."""
    a, b = at(((0.3, 0.0), (0.1, 0.0), (2.0, 0.0), (5.0, 0.1), (20.0, 0.2)), severity)
    value = picture.max(axis=-1, keepdims=True)
    span = value - picture.min(axis=-1, keepdims=True)
    saturation = span / np.where(value > 0, value, 1)
    # How far each channel lies below the largest: of grey, whose hue counts as red, nothing of red.
    grey = np.broadcast_to(np.array([0.0, 1.0, 1.0]), picture.shape)
    below = np.where(span > 0, (value - picture) / np.where(span > 0, span, 1), grey)
    return unit(value * (1 - unit(a * saturation + b) * below))


def jpeg_compression(picture: Picture, severity: int, _: np.random.Generator) -> Picture:
    """Return the image as a JPEG of quality c by Pillow gives it back."""
    stream = BytesIO()
    _as_image(picture).save(stream, "JPEG", quality=at((25, 18, 15, 10, 7), severity))
    with Image.open(stream, formats=("JPEG",)) as back:
        return np.asarray(back) / 255


def pixelate(picture: Picture, severity: int, _: np.random.Generator) -> Picture:
    """Return the image with its sides shrunk to a share c by a box filter, enlarged by copying."""
    c = at((0.6, 0.5, 0.4, 0.3, 0.25), severity)
    height, width = picture.shape[:2]
    small = (max(1, int(width * c)), max(1, int(height * c)))
    coarse = _as_image(picture).resize(small, Image.Resampling.BOX)
    return np.asarray(coarse.resize((width, height), Image.Resampling.NEAREST)) / 255


def elastic_transform(picture: Picture, severity: int, rng: np.random.Generator) -> Picture:
    """Return the image at places moved by smoothed noise (Simard et al. 2003), bilinear.

    Before smoothing by 1 % of each side, the noise is uniform in ± 0.5 % of the height; then it is
    multiplied by a strength.
    """
    strength = at((12.5, 16.25, 21.25, 25.0, 30.0), severity)
    size = picture.shape[:2]
    reach = 0.005 * size[0]
    sigmas = (0.01 * size[0], 0.01 * size[1])
    columns, rows = (
        gaussian_filter(rng.uniform(-reach, reach, size), sigmas, mode="reflect", truncate=3)
        for _ in range(2)
    )
    places = np.indices(size) + strength * np.stack([rows, columns])
    look = partial(map_coordinates, coordinates=places, order=1, mode="reflect")
    return unit(of_channels(look, picture))


def _as_image(picture: Picture) -> Image.Image:
    return Image.fromarray(np.round(picture * 255).astype(np.uint8))
