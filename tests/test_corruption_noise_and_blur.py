"""Noise and blur against their definitions: moments, kernels, loops over pixels."""

import math

import numpy as np
import pytest
from scipy.ndimage import convolve, gaussian_filter

from attacks.corruptions import CORRUPTIONS
from attacks.corruptions.blur import disk
from attacks.corruptions.picture import smeared, zoomed
from tests.made_pictures import chance, grey, noise, scene


@pytest.mark.parametrize(("severity", "c"), [(1, 0.08), (3, 0.18)])
def test_gaussian_noise_has_its_deviation(severity, c):
    # At 0.5 and c = 0.18 one value in 180 is cut off.
    added = CORRUPTIONS["gaussian_noise"](grey(0.5), severity, chance()) - 0.5
    assert abs(added.mean()) < 0.002
    assert added.std() == pytest.approx(c, rel=0.02)


@pytest.mark.parametrize(("severity", "c"), [(1, 60), (4, 5)])
def test_shot_noise_counts_photons(severity, c):
    light = 0.4
    counted = CORRUPTIONS["shot_noise"](grey(light), severity, chance()) * c
    assert np.allclose(counted, np.round(counted))
    share = np.mean(np.round(counted) == 2)
    assert share == pytest.approx(
        (c * light) ** 2 * math.exp(-c * light) / 2, abs=4 / math.sqrt(counted.size)
    )


@pytest.mark.parametrize(("severity", "c"), [(1, 0.03), (5, 0.27)])
def test_impulse_noise_strikes_its_share_black_or_white(severity, c):
    struck = CORRUPTIONS["impulse_noise"](grey(0.5), severity, chance())
    assert set(np.unique(struck)) == {0, 0.5, 1}
    for value in (0, 1):
        assert np.mean(struck == value) == pytest.approx(c / 2, abs=0.003)


def test_speckle_noise_grows_with_the_light():
    dark, light = (CORRUPTIONS["speckle_noise"](grey(v), 1, chance()) - v for v in (0.1, 0.5))
    assert dark.std() == pytest.approx(0.1 * 0.15, rel=0.02)
    assert light.std() == pytest.approx(0.5 * 0.15, rel=0.02)


# Blur: against kernels, and loops over pixels.


@pytest.mark.parametrize(("severity", "c"), [(1, 1), (5, 6)])
def test_gaussian_blur_is_scipys(severity, c):
    picture = noise()
    expected = [gaussian_filter(picture[..., k], c, mode="nearest") for k in range(3)]
    found = CORRUPTIONS["gaussian_blur"](picture, severity, chance())
    assert np.allclose(found, np.stack(expected, -1))


@pytest.mark.parametrize(("severity", "radius"), [(1, 3), (5, 10)])
def test_defocus_blur_turns_a_point_into_a_disk(severity, radius):
    point = np.zeros((61, 61, 3))
    point[30, 30] = 1
    found = CORRUPTIONS["defocus_blur"](point, severity, chance())[..., 0]
    rows, columns = np.mgrid[-30:31, -30:31]
    distance = np.hypot(rows, columns)
    assert found.sum() == pytest.approx(1)
    # Three taps reach √2 pixels, the five of larger disks 2√2.
    reach = 1.5 if radius <= 8 else 3
    inside, outside = found[distance < radius - reach], found[distance > radius + reach]
    assert np.allclose(inside, inside[0], rtol=1e-9)
    assert outside.max() < 0.01 * inside[0]
    # The disk's own weight, its edge softened: about one over its area.
    assert inside[0] == pytest.approx(1 / np.sum(distance <= radius), rel=1e-6)


def test_a_disk_is_softened_by_a_gaussian_of_three_taps():
    hard = np.hypot(*np.mgrid[-6:7, -6:7]) <= 4
    one = np.exp(-np.array([1, 0, 1]) / (2 * 0.5**2))
    kernel = np.outer(one, one) / one.sum() ** 2
    assert np.allclose(disk(4, 0.5), convolve(hard / hard.sum(), kernel, mode="constant"))


def test_smearing_is_a_loop_over_steps_and_pixels():
    picture, radius, sigma, degrees = noise(12, 9), 4, 2.5, 33.0
    height, width, _ = picture.shape
    weights = [math.exp(-(i**2) / (2 * sigma**2)) for i in range(2 * radius + 1)]
    expected = np.zeros_like(picture)
    for row in range(height):
        for column in range(width):
            for i, weight in enumerate(weights):
                down = -math.ceil(i * math.sin(math.radians(degrees)) - 0.5)
                right = -math.ceil(i * math.cos(math.radians(degrees)) - 0.5)
                from_row = min(max(row - down, 0), height - 1)
                from_column = min(max(column - right, 0), width - 1)
                expected[row, column] += weight * picture[from_row, from_column] / sum(weights)
    assert np.allclose(smeared(picture, radius=radius, sigma=sigma, degrees=degrees), expected)


@pytest.mark.parametrize("width", [8, 32, 64])
def test_motion_does_not_darken_narrow_images(width):
    # 41 steps: more than these images are wide.
    for name in ("motion_blur", "zoom_blur", "defocus_blur"):
        assert np.allclose(CORRUPTIONS[name](grey(0.5, 64, width), 5, chance()), 0.5)


def test_zooming_keeps_the_centre_and_enlarges_about_it():
    picture = scene(41, 21)
    found = zoomed(picture, 2)
    assert np.allclose(found[20, 10], picture[20, 10])
    for row, column in ((10, 4), (32, 16)):
        there = picture[20 + (row - 20) // 2, 10 + (column - 10) // 2]
        assert np.allclose(found[row, column], there)
    assert np.array_equal(zoomed(picture, 1), picture)


def test_zoom_blur_is_the_mean_of_enlargements():
    picture = noise(33, 17)
    layers = [picture, *(zoomed(picture, 1 + 0.03 * i) for i in range(11))]
    assert np.allclose(CORRUPTIONS["zoom_blur"](picture, 5, chance()), np.mean(layers, axis=0))


def test_glass_blur_moves_pixels_and_loses_none(monkeypatch):
    monkeypatch.setattr("attacks.corruptions.blur.smoothed", lambda picture, sigma: picture)
    height, width = 30, 20
    # Every pixel is another: 600 levels would not fit 8 bits, so two channels number them.
    numbers = np.arange(height * width)
    picture = np.stack([numbers // 200, numbers % 200, 0 * numbers], -1).reshape(height, width, 3)
    found = CORRUPTIONS["glass_blur"](picture / 255, 5, chance()) * 255
    places = np.round(found[..., 0] * 200 + found[..., 1]).astype(int)
    assert sorted(places.ravel()) == list(numbers)
    rows, columns = np.divmod(places, width)
    assert (places != numbers.reshape(height, width)).mean() > 0.5
    # Swapped on, a pixel may travel along with the sweep, but only up and to the left.
    assert np.abs(rows - np.mgrid[:height, :width][0]).mean() < 8
    assert np.abs(columns - np.mgrid[:height, :width][1]).mean() < 8
