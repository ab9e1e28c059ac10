"""A model that answers differently when asked twice is attacked through several draws."""

import torch

from attacks.randomised import DRAWS, draws_of
from tests.made_scenes import Scene


def test_a_fixed_model_takes_one_draw_and_a_randomised_one_several():
    scene = Scene()
    assert draws_of(scene.model, scene.images) == 1
    jitter = lambda images: scene.model(images) * (1 + 1e-6 * torch.rand(1))  # noqa: E731
    assert draws_of(jitter, scene.images) == 1
    noisy = lambda images: scene.model(images + 0.01 * torch.randn_like(images))  # noqa: E731
    assert draws_of(noisy, scene.images) == DRAWS


def test_a_model_that_changes_under_evaluation_is_found():
    scene = Scene()
    calls = []

    def dynamic(images):
        calls.append(len(images))
        return scene.model(images) + 0.1 * len(calls)

    assert draws_of(dynamic, scene.images) == DRAWS
