"""Weather and spatter against their equations."""

import colorsys

import numpy as np
import pytest

from attacks.corruptions import CORRUPTIONS
from attacks.corruptions.spatter import equalised, thickness
from attacks.corruptions.weather import frost_layer, plasma
from tests.made_pictures import chance, grey, noise, scene


@pytest.mark.parametrize(("severity", "c"), [(1, 0.1), (4, 0.4)])
def test_brightness_raises_the_value_of_hsv(severity, c):
    picture = noise(9, 7)
    picture[0, 0], picture[0, 1] = 0, 1
    found = CORRUPTIONS["brightness"](picture, severity, chance())
    for pixel, changed in zip(picture.reshape(-1, 3), found.reshape(-1, 3), strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*pixel)
        assert np.allclose(changed, colorsys.hsv_to_rgb(hue, saturation, min(value + c, 1)))


def test_fog_follows_its_equation_over_clouds():
    picture = scene()
    mist = plasma(128, 64, 1.4, chance(5))[..., None]
    brightest = picture.max()
    expected = (picture + 3 * mist) * brightest / (brightest + 3)
    assert np.allclose(CORRUPTIONS["fog"](picture, 5, chance(5)), expected)


def test_clouds_fill_the_unit_range_and_are_finer_with_less_decay():
    fine, coarse = (plasma(128, 128, decay, chance(1)) for decay in (1.4, 3.0))
    for field in (fine, coarse):
        assert (field.min(), field.max()) == (0, 1)

    def roughness(field):
        return np.abs(np.diff(field, axis=0)).mean() / field.std()

    assert roughness(fine) > 2 * roughness(coarse)


def test_clouds_are_diamond_square():
    # On a grid of two points a side: the centre and two edges from one corner, 0.
    draws = chance(2)
    centre = draws.uniform(-1, 1)
    across, down = (centre / 2 + draws.uniform(-1, 1) for _ in range(2))
    field = np.array([[0, across], [down, centre]])
    field -= field.min()
    assert np.allclose(plasma(2, 2, 1.7, chance(2)), field / field.max())


def test_frost_adds_its_layer_in_the_published_shares():
    picture = scene()
    layer = frost_layer(128, 64, chance(3))
    found = CORRUPTIONS["frost"](picture, 2, chance(3))
    assert np.allclose(found, (0.8 * picture + 0.6 * layer).clip(0, 1))


def test_frost_has_the_colour_and_contrast_of_the_photographs():
    layers = np.stack([frost_layer(128, 64, chance(k)) for k in range(40)])
    assert 0.5 < layers.mean() < 0.65
    assert 0.08 < layers[..., 2].mean() - layers[..., 0].mean() < 0.16
    assert 0.06 < np.mean([layer.mean(-1).std() for layer in layers]) < 0.18


def test_snow_whitens_by_its_equation_where_no_flake_falls(monkeypatch):
    monkeypatch.setattr("attacks.corruptions.weather.smeared", lambda layer, **_: 0 * layer)
    picture = scene()
    luminance = picture @ [0.299, 0.587, 0.114]
    white = np.maximum(picture, 1.5 * luminance[..., None] + 0.5)
    assert np.allclose(
        CORRUPTIONS["snow"](picture, 3, chance()), (0.7 * picture + 0.3 * white).clip(0, 1)
    )


def test_snow_falls_twice_turned_by_half_a_circle(monkeypatch):
    flakes = np.zeros((128, 64))
    flakes[10, 5] = 0.25
    monkeypatch.setattr("attacks.corruptions.weather.smeared", lambda layer, **_: flakes)
    with_flakes = CORRUPTIONS["snow"](grey(0.0, 128, 64), 1, chance())[..., 0]
    assert np.argwhere(with_flakes > with_flakes.min() + 0.2).tolist() == [[10, 5], [117, 58]]
    assert with_flakes.max() - with_flakes.min() == pytest.approx(0.25)


@pytest.mark.parametrize(("severity", "drops", "length"), [(1, 10, 10), (5, 16, 60)])
def test_rain_draws_so_many_streaks_of_one_slant(monkeypatch, severity, drops, length):
    lines = []
    monkeypatch.setattr(
        "attacks.corruptions.weather.ImageDraw.ImageDraw.line",
        lambda self, places, fill: lines.append(places),
    )
    found = CORRUPTIONS["rain"](grey(0.6, 128, 64), severity, chance(1))
    assert len(lines) == drops
    assert {(x1 - x0, y1 - y0) for x0, y0, x1, y1 in lines} == {(lines[0][2] - lines[0][0], length)}
    assert np.allclose(found, 0.6 - (0.05 + 0.05 * severity))


def test_rain_is_grey_blurred_by_a_box():
    black = CORRUPTIONS["rain"](grey(0.0, 128, 64), 1, chance(1)) + 0.1
    assert 0.1 < black.max() <= 200 / 255
    # A streak is one pixel wide: in a box of three, at most five of nine pixels are on it.
    assert black.max() <= 5 / 9 * 200 / 255 * 2


def test_mud_covers_by_its_share():
    picture = grey(1.0, 128, 64)
    found = CORRUPTIONS["spatter"](picture, 5, chance(2))
    share = (picture - found) / (picture - np.array([63, 42, 20]) / 255)
    covered = ~np.isclose(found, picture).all(-1)
    assert 0.05 < covered.mean() < 0.5
    assert np.allclose(share[covered].std(axis=-1), 0, atol=1e-6)
    assert share[covered].min() > 0.8 - 1e-9


def test_water_brightens_in_pale_turquoise():
    found = CORRUPTIONS["spatter"](grey(0.0, 128, 64), 2, chance(2))
    wet = found[found.sum(-1) > 0]
    assert np.allclose(wet / wet[:, :1], np.array([175, 238, 238]) / 175)
    assert found[..., 0].max() == pytest.approx(0.6 * 175 / 255)


def test_no_drop_throws_no_light():
    assert not thickness(np.zeros((20, 10))).any()


def test_levels_are_equalised_as_pillow_does():
    levels = chance(3).normal(90, 20, (50, 40)).clip(0, 255).astype(np.uint8)
    counts = np.sort(levels.ravel())
    for level in np.unique(levels):
        rank = np.searchsorted(counts, level, side="right") - np.sum(levels == levels.min())
        expected = round(rank / (levels.size - np.sum(levels == levels.min())) * 255)
        assert np.all(equalised(levels)[levels == level] == expected)
