"""Digital corruptions against formulas, Pillow and loops over pixels."""

import colorsys
import math
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from attacks.corruptions import CORRUPTIONS
from tests.made_pictures import chance, noise, scene


@pytest.mark.parametrize(("severity", "c"), [(1, 0.4), (5, 0.05)])
def test_contrast_shrinks_about_each_channels_mean(severity, c):
    picture = scene()
    found = CORRUPTIONS["contrast"](picture, severity, chance())
    assert np.allclose(found.mean((0, 1)), picture.mean((0, 1)))
    assert np.allclose(found.std((0, 1)), c * picture.std((0, 1)))


@pytest.mark.parametrize(("severity", "a", "b"), [(1, 0.3, 0), (3, 2, 0), (5, 20, 0.2)])
def test_saturate_changes_the_saturation_of_hsv(severity, a, b):
    picture = noise(9, 7)
    picture[0, 0], picture[0, 1], picture[0, 2] = 0, 1, 0.5
    found = CORRUPTIONS["saturate"](picture, severity, chance())
    for pixel, changed in zip(picture.reshape(-1, 3), found.reshape(-1, 3), strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*pixel)
        expected = colorsys.hsv_to_rgb(hue, min(a * saturation + b, 1), value)
        assert np.allclose(changed, expected)


@pytest.mark.parametrize(("severity", "quality"), [(1, 25), (5, 7)])
def test_jpeg_is_pillows(severity, quality):
    picture = scene()
    stream = BytesIO()
    pixels = (picture * 255).round().astype(np.uint8)
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality)
    expected = np.asarray(Image.open(stream))
    found = CORRUPTIONS["jpeg_compression"](picture, severity, chance())
    assert np.array_equal((found * 255).round(), expected)


def test_pixelate_is_a_mean_over_blocks():
    picture = scene(64, 32)
    blocks = picture.reshape(32, 2, 16, 2, 3).mean((1, 3))
    expected = blocks.repeat(2, axis=0).repeat(2, axis=1)
    # Pillow rounds to 8 bits after each direction: twice half a level at most.
    assert np.allclose(CORRUPTIONS["pixelate"](picture, 2, chance()), expected, atol=1.01 / 255)


def test_elastic_looks_up_moved_places():
    height, width = 24, 16
    picture = scene(height, width)
    draws = chance(4)
    reach, sigmas = 0.005 * height, (0.01 * height, 0.01 * width)
    right, down = (
        25.0 * gaussian_filter(draws.uniform(-reach, reach, (height, width)), sigmas, truncate=3)
        for _ in range(2)
    )
    found = CORRUPTIONS["elastic_transform"](picture, 4, chance(4))
    for row in range(4, height - 4):
        for column in range(4, width - 4):
            y, x = row + down[row, column], column + right[row, column]
            top, left = math.floor(y), math.floor(x)
            between = [
                [picture[top, left], picture[top, left + 1]],
                [picture[top + 1, left], picture[top + 1, left + 1]],
            ]
            upper, lower = ((1 - x + left) * a + (x - left) * b for a, b in between)
            assert np.allclose(found[row, column], (1 - y + top) * upper + (y - top) * lower)
