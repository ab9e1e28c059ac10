"""Guards against numpy and scipy, recipes against their equations, contracts over the registry."""

from dataclasses import fields, is_dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import median_filter
from torch import Tensor

from attacks import FNA
from benchbox.errors import BenchboxError
from benchbox.training.losses import identity_loss, triplet_loss
from benchbox.training.recipe import Batch
from benchbox.training.seeding import seeded
from defenses import (
    DEFENSES,
    AdvTrain,
    BitSqueezing,
    MedianSmoothing,
    PreparedGuard,
    SqueezeThenSmooth,
    register,
)
from tests.test_training import TinyModel

GUARDED = [
    defense
    for defense in DEFENSES.values()
    if defense.guard is not None and not isinstance(defense.guard, PreparedGuard)
]


def images(seed: int = 0, *shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*(shape or (4, 3, 12, 7)), generator=generator)


@pytest.mark.parametrize("bits", [1, 3, 5, 8])
def test_bit_squeezing_rounds_to_its_levels(bits: int) -> None:
    pixels = images()
    levels = 2**bits - 1
    expected = np.round(pixels.numpy().astype(np.float64) * levels) / levels
    np.testing.assert_allclose(BitSqueezing(bits=bits)(pixels).numpy(), expected, atol=1e-6)


def test_eight_bits_leave_eight_bit_images_alone() -> None:
    pixels = torch.arange(256).float().reshape(1, 1, 16, 16).expand(1, 3, 16, 16) / 255
    torch.testing.assert_close(BitSqueezing(bits=8)(pixels), pixels, atol=1e-7, rtol=0)


def test_the_gradient_passes_straight_through_the_rounding() -> None:
    pixels = images().requires_grad_()
    weight = torch.randn(4, 3, 12, 7)
    (BitSqueezing(bits=2)(pixels) * weight).sum().backward()
    assert pixels.grad is not None
    assert torch.equal(pixels.grad, weight)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([3, 5]), st.integers(3, 9), st.integers(3, 9))
def test_median_smoothing_equals_scipy(seed: int, kernel: int, height: int, width: int) -> None:
    pixels = images(seed, 2, 3, height, width)
    # torch's "reflect" does not repeat the edge pixel; scipy calls that "mirror".
    expected = median_filter(pixels.numpy(), size=(1, 1, kernel, kernel), mode="mirror")
    np.testing.assert_array_equal(MedianSmoothing(kernel=kernel)(pixels).numpy(), expected)


def test_the_gradient_of_the_median_goes_to_the_median_pixel() -> None:
    pixels = images(3, 1, 1, 5, 5).double().requires_grad_()
    MedianSmoothing()(pixels)[0, 0, 2, 2].backward()
    window = pixels.detach()[0, 0, 1:4, 1:4]
    expected = torch.zeros(5, 5, dtype=torch.float64)
    expected[1:4, 1:4] = (window == window.median()).double()
    assert pixels.grad is not None
    assert torch.equal(pixels.grad[0, 0], expected)


def test_bs_ms_squeezes_first_and_then_smooths() -> None:
    pixels = images(1)
    both = SqueezeThenSmooth()(pixels)
    assert torch.equal(both, MedianSmoothing()(BitSqueezing()(pixels)))
    # With an odd window rounding commutes with the median, so the values cannot tell the order;
    # the gradient does: rounding ties pixels, and the median then picks among more of them.
    coarse = SqueezeThenSmooth(squeeze=BitSqueezing(bits=1))
    ours = torch.autograd.functional.jacobian(lambda x: coarse(x).sum(), pixels)
    swapped = torch.autograd.functional.jacobian(
        lambda x: BitSqueezing(bits=1)(MedianSmoothing()(x)).sum(), pixels
    )
    assert not torch.equal(ours, swapped)


@pytest.mark.parametrize("defense", GUARDED, ids=lambda d: d.name)
@torch.random.fork_rng()
def test_guards_keep_shape_range_and_gradient(defense) -> None:
    torch.manual_seed(1)  # some draws of a random guard leave so small an image as it is
    pixels = images(5, 3, 3, 16, 8).requires_grad_()
    guarded = defense.guard(pixels)
    assert guarded.shape == pixels.shape
    assert guarded.min() >= 0
    assert guarded.max() <= 1
    assert not torch.equal(guarded, pixels)
    (gradient,) = torch.autograd.grad(guarded.sum(), pixels)
    assert gradient.isfinite().all()
    assert (gradient != 0).float().mean() > 0.2, "an attack through this guard would be a sham"
    if torch.equal(defense.guard(pixels.detach()), guarded):
        one = defense.guard(pixels.detach()[1:2])
        assert torch.equal(one, guarded.detach()[1:2]), "an image's result depends on its batch"
        return
    twins = defense.guard(pixels.detach()[:1].expand(2, -1, -1, -1))
    assert not torch.equal(twins[0], twins[1]), "a random guard draws for each image"
    torch.manual_seed(7)
    first = defense.guard(pixels.detach())
    torch.manual_seed(7)
    assert torch.equal(defense.guard(pixels.detach()), first)


@pytest.mark.parametrize("defense", DEFENSES.values(), ids=lambda d: d.name)
def test_every_defense_is_a_frozen_record_with_its_source(defense) -> None:
    for part in (defense, defense.recipe, defense.guard):
        if part is not None:
            assert is_dataclass(part)
            assert type(part).__dataclass_params__.frozen
    assert defense.source
    assert defense.title
    assert all(field.kw_only for field in fields(defense.recipe))


def test_the_registry_is_read_only_and_names_are_taken_once() -> None:
    with pytest.raises(TypeError):
        DEFENSES["mine"] = DEFENSES["origin"]  # type: ignore[index]
    with pytest.raises(BenchboxError, match="named 'origin' exists already"):
        register(dict(DEFENSES), DEFENSES["origin"])


def test_adv_train_is_the_two_losses_on_the_fna_batch() -> None:
    recipe = AdvTrain(eps=8 / 255, steps=3, step_size=3 / 255)
    labels = torch.arange(6).repeat_interleave(4)
    pixels = images(9, 24, 3, 16, 8)
    losses = recipe.losses(TinyModel().train(), Batch(pixels, labels, seeded(0)))

    # By hand: guides from clean embeddings in evaluation mode, losses in training mode.
    model = TinyModel().eval()
    attack = FNA(eps=8 / 255, steps=3, step_size=3 / 255)
    with torch.no_grad():
        guides = attack.guides(model(pixels), labels)
    adversarial = attack(model, pixels, guides)
    features = model.train().features(adversarial)
    # Not to the bit: inside training the attack runs on a copy with batch norms folded in.
    expected = {
        "identity": identity_loss(features.logits, labels).item(),
        "triplet": triplet_loss(features.pooled, labels).item(),
    }
    assert {name: loss.item() for name, loss in losses.items()} == pytest.approx(expected, rel=1e-4)
    clean = TinyModel().train().features(pixels)
    assert losses["identity"].item() > identity_loss(clean.logits, labels).item()
