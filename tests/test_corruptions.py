"""What all corruptions keep: size, range, and the same chance for the same image."""

import numpy as np
import pytest

from attacks.corruptions import CORRUPTIONS, FAMILIES, SEVERITIES
from attacks.corruptions.titles import TITLES
from tests.made_pictures import chance, scene

SIZES = ((128, 64), (256, 128), (64, 32), (97, 41), (40, 90))


def test_there_are_the_papers_twenty_in_four_families():
    assert [len(family) for family in FAMILIES.values()] == [4, 5, 6, 5]
    assert len(CORRUPTIONS) == len(set(TITLES.values())) == 20
    assert SEVERITIES == (1, 2, 3, 4, 5)


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("size", SIZES)
def test_any_size_stays_and_no_value_leaves_the_range(name, size):
    picture = scene(*size)
    before = picture.copy()
    for severity in (1, 5):
        changed = CORRUPTIONS[name](picture, severity, chance())
        assert changed.shape == picture.shape
        assert np.isfinite(changed).all()
        assert changed.min() >= 0
        assert changed.max() <= 1
        assert not np.array_equal(changed, before)
    assert np.array_equal(picture, before)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_same_chance_gives_the_same_image(name):
    one, two, other = (CORRUPTIONS[name](scene(), 4, chance(seed)) for seed in (3, 3, 4))
    assert np.array_equal(one, two)
    random = {"gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise", "glass_blur"}
    random |= {"motion_blur", "snow", "frost", "fog", "rain", "spatter", "elastic_transform"}
    assert np.array_equal(one, other) == (name not in random)


@pytest.mark.parametrize("name", sorted(set(CORRUPTIONS) - {"saturate"}))
def test_more_severe_is_further_from_the_image(name):
    picture = scene()
    moved = [
        np.mean(
            [np.abs(CORRUPTIONS[name](picture, s, chance(k)) - picture).mean() for k in range(8)]
        )
        for s in (1, 5)
    ]
    assert moved[1] > moved[0]
