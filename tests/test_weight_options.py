"""Adversarial weight perturbation and averaged weights, against what they are written out."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from attacks.in_training import attack_batch
from benchbox.errors import BenchboxError
from benchbox.training.averaging import averaged
from benchbox.training.loop import train
from benchbox.training.recipe import Batch, Training
from benchbox.training.seeding import seeded
from benchbox.training.weight_perturbation import perturbed_losses
from defenses import AdvTrain, Fare, MetricAT, Vanilla
from tests.test_adversarial_recipes import LABELS, MEDIUM, pixels
from tests.test_training import CPU, SHORT, TinyModel, made_data


def pair_at(model: TinyModel, images: Tensor) -> Tensor:
    pair = Vanilla().losses(model, Batch(images, LABELS, seeded(0)))
    return pair["identity"] + pair["triplet"]


def perturbed_by_hand(model: TinyModel, images: Tensor, gamma: float) -> TinyModel:
    """A copy whose kernels and matrices were moved by γ of their length, up the loss."""
    scratch, moved = deepcopy(model), deepcopy(model)
    scratch.zero_grad(set_to_none=True)
    pair_at(scratch, images).backward()
    for weight, other in zip(moved.parameters(), scratch.parameters(), strict=True):
        if weight.ndim > 1:
            direction = other.grad / other.grad.norm()
            weight.data += gamma * weight.data.norm() * direction
    return moved


@pytest.mark.parametrize("kind", [AdvTrain, MetricAT])
def test_awp_takes_values_and_gradients_at_the_perturbed_weights(kind) -> None:
    model = TinyModel().train()
    before = deepcopy(model.state_dict())
    recipe = kind(**MEDIUM, awp=0.05)
    losses = recipe.step(model, Batch(pixels(), LABELS, seeded(0)))
    torch.stack(list(losses.values())).sum().backward()
    for name, value in model.named_parameters():
        assert torch.equal(value, before[name]), name

    clean = TinyModel().train()
    attacked = attack_batch(recipe.attack, clean, pixels(), LABELS)
    moved = perturbed_by_hand(clean, attacked, 0.05)
    way = (moved.trunk[0].weight - clean.trunk[0].weight).norm().item()
    assert way == pytest.approx(0.05 * clean.trunk[0].weight.norm().item(), rel=1e-4)
    again = attack_batch(recipe.attack, moved, pixels(), LABELS)
    assert pair_at(deepcopy(moved), attacked) > pair_at(deepcopy(clean), attacked)
    expected = kind(**MEDIUM).losses(moved, Batch(pixels(), LABELS, seeded(0)))
    assert not torch.equal(again, attacked)
    assert {k: v.item() for k, v in losses.items()} == pytest.approx(
        {k: v.item() for k, v in expected.items()}, rel=1e-3
    )
    torch.stack(list(expected.values())).sum().backward()
    for ours, theirs in zip(model.parameters(), moved.parameters(), strict=True):
        assert ours.grad is not None
        assert (ours.grad - theirs.grad).norm() < 1e-2 * theirs.grad.norm() + 1e-6
    for name, buffer in moved.named_buffers():  # moved once, by the losses
        torch.testing.assert_close(dict(model.named_buffers())[name], buffer, rtol=1e-3, atol=1e-5)


def test_without_a_step_of_weights_awp_changes_nothing() -> None:
    batch = Batch(pixels(), LABELS, seeded(0))
    first, second = TinyModel().train(), TinyModel().train()
    recipe = AdvTrain(**MEDIUM)
    losses = recipe.step(first, batch)
    same = perturbed_losses(
        second,
        lambda: pair_at(second, pixels()),
        lambda: recipe.losses(second, batch),
        gamma=0.0,
    )
    assert {k: v.item() for k, v in same.items()} == {k: v.item() for k, v in losses.items()}
    for found in (losses, same):
        torch.stack(list(found.values())).sum().backward()
    for ours, theirs in zip(first.parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)
    for ours, theirs in zip(first.buffers(), second.buffers(), strict=True):
        assert torch.equal(ours, theirs)


def test_the_weights_come_back_when_a_loss_fails() -> None:
    model = TinyModel().train()
    before = deepcopy(model.state_dict())

    def fails() -> dict[str, Tensor]:
        assert not torch.equal(model.trunk[0].weight, before["trunk.0.weight"])
        raise BenchboxError("no")

    with pytest.raises(BenchboxError, match="no"):
        perturbed_losses(model, lambda: pair_at(model, pixels()), fails, gamma=0.1)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_awp_trains(precision, tmp_path) -> None:
    training = replace(SHORT, epochs=3, precision=precision)
    recipe = AdvTrain(eps=4 / 255, steps=2, step_size=3 / 255, awp=0.01, training=training)
    log = train(recipe, TinyModel(), made_data(), seed=0, folder=tmp_path, device=CPU)
    assert log[-1]["identity"] < log[0]["identity"]


def test_the_average_is_the_sum_written_out() -> None:
    model = TinyModel()
    average = averaged(model, decay=0.6)
    visited, counter = [], model.trunk[1].num_batches_tracked
    for step in range(12):
        with torch.no_grad():
            model.trunk[0].weight.add_(0.1 * (step + 1))
            model.trunk[1].running_mean.add_(1.0)
            counter.add_(1)
        visited.append(model.trunk[0].weight.detach().double().clone())
        average.update_parameters(model)
    expected = visited[0]  # the first visit is taken as it is
    for step, weights in enumerate(visited[1:], 1):
        kept = min(0.6, (1 + step) / (10 + step))
        expected = kept * expected + (1 - kept) * weights
    torch.testing.assert_close(
        average.module.trunk[0].weight.double(), expected, rtol=1e-5, atol=1e-6
    )
    assert average.module.trunk[1].num_batches_tracked == counter
    assert 0 < average.module.trunk[1].running_mean[0] < 12


def test_training_ends_with_the_averaged_weights_and_resumes_with_them(tmp_path) -> None:
    recipe = Vanilla(training=replace(SHORT, epochs=3, ema=0.9))
    plain = replace(recipe, training=replace(recipe.training, ema=0.0))
    ends = {}
    for name, one in (("average", recipe), ("plain", plain)):
        ends[name] = TinyModel()
        train(one, ends[name], made_data(), seed=0, folder=tmp_path / name, device=CPU)
    saved = torch.load(tmp_path / "average" / "checkpoint.pt", weights_only=True)
    for name, value in ends["average"].state_dict().items():
        assert torch.equal(value, saved["average"][f"module.{name}"]), name
    # What is averaged are the weights of the same training without an average.
    for name, value in ends["plain"].state_dict().items():
        assert torch.equal(value, saved["model"][name]), name
    assert not torch.equal(ends["average"].trunk[0].weight, ends["plain"].trunk[0].weight)

    # Killed after one epoch and called again: the same averaged weights.
    folder = tmp_path / "killed"

    def kill(done: float, text: str) -> None:
        if done > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(recipe, TinyModel(), made_data(), seed=0, folder=folder, device=CPU, progress=kill)
    again = TinyModel()
    train(recipe, again, made_data(), seed=0, folder=folder, device=CPU)
    for name, value in again.state_dict().items():
        assert torch.equal(value, ends["average"].state_dict()[name]), name


def test_options_are_checked_shown_and_paid_for() -> None:
    with pytest.raises(BenchboxError, match="adv_train: expected awp ≥ 0"):
        AdvTrain(awp=-1.0)
    with pytest.raises(BenchboxError, match="ema: expected 0 or a decay below 1, got 1"):
        Training(ema=1)
    with pytest.raises(BenchboxError, match="fare: awp raises a loss of labels"):
        Fare(awp=0.005)
    both = AdvTrain(awp=0.005, training=Training(ema=0.995))
    assert both.title == "adv_train (awp 0.005, ema 0.995)"
    # The attack and a training pass come twice.
    assert both.step_cost == pytest.approx(2 * AdvTrain().step_cost)
    assert MetricAT(awp=0.1).step_cost == pytest.approx(1 + 2 * AdvTrain().step_cost)
