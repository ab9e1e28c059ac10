"""Each module of DDD against its equation, and against what it must leave alone."""

import io
import math
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest
from sklearn.metrics import log_loss
from torch import Tensor, nn

from benchbox.errors import BenchboxError
from benchbox.models.reid import Features
from benchbox.training.losses import triplet_loss
from benchbox.training.recipe import Batch, Training
from benchbox.training.seeding import seeded
from defenses import MetricAT
from defenses.ddd.discriminator import Adversary, Discriminator
from defenses.ddd.recipe import ALL, DualInvariantDefense
from defenses.ddd.self_meta import Meta, inner_step, self_meta_losses, split_by_identity
from defenses.ddd.softening import Softening, move, smooth, soften
from tests.test_training import Recorded, TinyModel

CPU = torch.device("cpu")
LABELS = torch.arange(6).repeat_interleave(4)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def pixels(seed: int = 0, rows: int = 24, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(rows, 3, 16, 8, generator=generator).to(dtype)


def flat(tensors: list[Tensor | None] | tuple[Tensor, ...]) -> Tensor:
    return torch.cat([t.detach().flatten() for t in tensors if t is not None])


def gradients(model: nn.Module, losses: dict[str, Tensor]) -> Tensor:
    model.zero_grad(set_to_none=True)
    sum(losses.values(), torch.zeros(())).backward()
    return flat([torch.zeros_like(p) if p.grad is None else p.grad for p in model.parameters()])


# --- Farthest negative extension softening, Eq. 4 ---


def softened(
    by: Softening, clean: Tensor, attacked: Tensor, classes: int, *, seed: int = 0
) -> tuple[Tensor, Tensor, list[int], list[int]]:
    labels = [row % classes for row in range(len(clean))]
    farthest = [
        (label + 1 + row // 3 % (classes - 1)) % classes for row, label in enumerate(labels)
    ]
    images, targets = soften(
        clean,
        attacked,
        torch.tensor(labels),
        torch.tensor(farthest),
        classes=classes,
        by=by,
        generator=seeded(seed),
    )
    return images, targets, labels, farthest


def omegas(images: Tensor, clean: Tensor, attacked: Tensor, scale: float) -> list[float]:
    """Solve x_adv = x + (1 − ω) γ (x̂ − x) for ω at every pixel; one image, one ω."""
    shares = (images - clean).double() / (scale * (attacked - clean).double())
    assert shares.flatten(1).std(dim=1).max() < 1e-4, "ω differs within an image"
    return [1 - row.mean().item() for row in shares]


@settings(max_examples=80, deadline=None)
@given(
    scale=st.floats(1, 3),
    ends=st.tuples(st.floats(0.01, 0.99), st.floats(0.01, 0.99)),
    masses=st.tuples(st.floats(0.05, 1), st.floats(0.05, 1)),
    share=st.floats(0, 0.99),
    classes=st.integers(2, 20),
    seed=st.integers(0, 1000),
)
def test_softening_is_eq_4_with_one_omega_for_image_and_label(
    scale: float,
    ends: tuple[float, float],
    masses: tuple[float, float],
    share: float,
    classes: int,
    seed: int,
) -> None:
    low, high = sorted(ends)
    first, second = masses
    moved = share * second
    by = Softening(
        scale=scale, low=low, high=high, clean_mass=first, robust_mass=second, moved=moved
    )
    # Far enough from 0 and 1 that nothing is clipped: |γ (x̂ − x)| ≤ 0.3.
    clean = 0.35 + 0.3 * pixels(seed, 7)
    attacked = clean + 0.1 * torch.where(pixels(seed + 1, 7) < 0.5, -1.0, 1.0)
    images, targets, labels, farthest = softened(by, clean, attacked, classes, seed=seed)
    drawn = omegas(images, clean, attacked, scale)
    assert all(low - 1e-4 <= omega <= high + 1e-4 for omega in drawn)
    for row, omega in enumerate(drawn):
        for k in range(classes):
            easy = first if k == labels[row] else (1 - first) / (classes - 1)
            hard = second if k == labels[row] else (1 - second) / (classes - 1)
            if k == labels[row]:
                hard -= moved
            if k == farthest[row]:
                hard += moved
            expected = omega * easy + (1 - omega) * hard
            assert targets[row, k].item() == pytest.approx(expected, abs=2e-4)
        assert targets[row].sum().item() == pytest.approx(1, abs=1e-5)
        assert targets[row].min() >= -1e-6


def test_omega_is_uniform_between_a_and_b_and_drawn_per_image() -> None:
    clean = torch.full((3000, 3, 1, 1), 0.5)
    by = Softening(scale=1.5, low=0.2, high=0.7)
    images, *_ = softened(by, clean, clean + 0.1, 5)
    drawn = np.array(omegas(images, clean, clean + 0.1, 1.5))
    assert kstest(drawn, "uniform", args=(0.2, 0.5)).pvalue > 0.01
    again, *_ = softened(by, clean, clean + 0.1, 5)
    other, *_ = softened(by, clean, clean + 0.1, 5, seed=1)
    assert torch.equal(again, images)
    assert not torch.equal(other, images)


def test_what_leaves_the_pixel_range_is_clipped_and_nothing_else() -> None:
    clean = pixels(2)
    attacked = (clean + 0.2 * torch.where(pixels(3) < 0.5, -1.0, 1.0)).clamp(0, 1)
    by = Softening(scale=3, low=0.25, high=0.25)
    images, *_ = softened(by, clean, attacked, 4)
    outside = 0
    for x, x_hat, got in zip(
        clean.flatten().tolist(),
        attacked.flatten().tolist(),
        images.flatten().tolist(),
        strict=True,
    ):
        exact = 0.25 * x + 0.75 * (x + 3 * (x_hat - x))
        outside += not 0 <= exact <= 1
        assert got == pytest.approx(min(max(exact, 0), 1), abs=1e-6)
    assert outside > 100


def test_smoothing_and_moving_one_by_one() -> None:
    # λ = 0.7 with k = 4 leaves 0.1 for each other class; then v = 0.25 goes from class 2 to 0.
    targets = smooth(torch.tensor([2]), 0.7, 4)
    torch.testing.assert_close(targets, torch.tensor([[0.1, 0.1, 0.7, 0.1]]))
    moved = move(targets, torch.tensor([2]), torch.tensor([0]), 0.25)
    torch.testing.assert_close(moved, torch.tensor([[0.35, 0.1, 0.45, 0.1]]))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"scale": 0.99}, "fnes.scale"),
        ({"scale": math.nan}, "fnes.scale"),
        ({"scale": math.inf}, "fnes.scale"),
        ({"low": 0.0}, "fnes.low"),
        ({"low": 0.6, "high": 0.5}, "fnes.low"),
        ({"high": 1.0}, "fnes.high"),
        ({"high": math.nan}, "fnes.high"),
        ({"clean_mass": 0.0}, "fnes.clean_mass"),
        ({"robust_mass": 1.01}, "fnes.robust_mass"),
        ({"moved": 0.9}, "fnes.moved"),
        ({"moved": -0.1}, "fnes.moved"),
        ({"moved": math.nan}, "fnes.moved"),
    ],
)
def test_bad_values_of_fnes_are_one_clear_line(values: dict[str, float], message: str) -> None:
    with pytest.raises(BenchboxError, match=message) as caught:
        Softening(**values)
    assert "\n" not in str(caught.value)
    assert "got" in str(caught.value)


# --- The discriminator, Eq. 6-8 ---


def discriminator(seed: int = 0, *, width: int = 16, double: bool = False) -> Discriminator:
    made = Discriminator(32, Adversary(hidden=width, lr=0.01), generator=seeded(seed), device=CPU)
    if double:
        made.network.double()
    return made


def drawn(seed: int, rows: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return features as a trunk pools them: no component below 0, each of a size of its own."""
    generator = torch.Generator().manual_seed(seed)
    sizes = 10 ** torch.linspace(-2, 1, 32, dtype=dtype)
    # The halves differ, so that there is something to tell apart.
    return sizes * (torch.rand(rows, 32, generator=generator, dtype=dtype) + 0.3 * seed)


def by_hand(network: nn.Module, *halves: Tensor) -> list[np.ndarray]:
    """Return D(·), the probability of "clean", of clean and adversarial features, in numpy."""
    w1, b1, w2, b2 = (p.detach().numpy() for p in network.parameters())
    features = np.concatenate([half.detach().numpy() for half in halves])
    features = (features - features.mean(0)) / np.sqrt(features.var(0) + 1e-5)
    hidden = features @ w1.T + b1
    logits = np.where(hidden > 0, hidden, 0.2 * hidden) @ w2.T + b2
    said = 1 / (1 + np.exp(-logits[:, 0]))
    return [said[: len(halves[0])], said[len(halves[0]) :]]


def test_the_discriminators_loss_is_eq_6() -> None:
    made = discriminator(double=True)
    clean, robust = drawn(0, 12, torch.float64), drawn(1, 12, torch.float64)
    said = np.concatenate(by_hand(made.network, clean, robust))
    peer = 2 * log_loss([1] * 12 + [0] * 12, said)
    assert made.loss(clean, robust).item() == pytest.approx(peer, rel=1e-12)
    # With other numbers of each, the expectations are still taken one by one.
    of_clean, of_robust = by_hand(made.network, clean[:5], robust)
    few = -np.log(of_clean).mean() - np.log(1 - of_robust).mean()
    assert made.loss(clean[:5], robust).item() == pytest.approx(few, rel=1e-12)


def test_the_size_of_a_feature_is_nothing_to_the_discriminator() -> None:
    made = discriminator(double=True)
    halves = [drawn(i, 12, torch.float64) for i in (0, 1)]
    sizes = torch.rand(32, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 5
    other = [3 + sizes * half for half in halves]
    # But for the 1e-5 under the root.
    assert made.loss(*other).item() == pytest.approx(made.loss(*halves).item(), rel=0.05)


def test_a_discriminator_that_cannot_tell_loses_twice_the_logarithm_of_two() -> None:
    made = discriminator()
    nn.init.zeros_(made.network[-1].weight)
    nn.init.zeros_(made.network[-1].bias)
    loss = made.loss(drawn(0, 8), drawn(1, 8)).item()
    assert loss == pytest.approx(2 * math.log(2), rel=1e-6)


def test_a_saturated_discriminator_has_finite_losses_and_gradients() -> None:
    made = discriminator()
    nn.init.constant_(made.network[-1].bias, 1e4)
    robust = drawn(1, 8).requires_grad_()
    loss = made.confusion(drawn(0, 8), robust)
    (gradient,) = torch.autograd.grad(loss, robust)
    assert loss.isfinite()
    assert gradient.isfinite().all()


def test_encoder_and_discriminator_pull_the_features_in_opposite_directions() -> None:
    made = discriminator(double=True)
    encoder = nn.Linear(6, 32).double()
    inputs = torch.randn(16, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    halves = list(encoder(inputs).chunk(2))
    ours, theirs = made.confusion(*halves), made.loss(*halves)
    assert ours.item() == -theirs.item()
    for reached in (halves, list(encoder.parameters())):
        towards = torch.autograd.grad(ours, reached, retain_graph=True)
        away = torch.autograd.grad(theirs, reached, retain_graph=True)
        assert flat(towards).abs().sum() > 0
        torch.testing.assert_close(flat(towards), -flat(away), rtol=1e-12, atol=1e-15)


def test_confusing_leaves_the_discriminator_alone() -> None:
    made = discriminator()
    before = deepcopy(made.network.state_dict())
    halves = [drawn(i, 8).requires_grad_() for i in (0, 1)]
    loss = made.confusion(*halves)
    # D may take its step between the forward and the backward pass of the encoder.
    expected = torch.autograd.grad(loss, halves, retain_graph=True)
    made.learn(*halves)
    after = torch.autograd.grad(loss, halves, retain_graph=True)
    assert torch.equal(flat(expected), flat(after))
    made = discriminator()
    made.confusion(*halves).backward()
    assert all(parameter.grad is None for parameter in made.network.parameters())
    assert all(torch.equal(v, before[k]) for k, v in made.network.state_dict().items())


def test_a_step_of_the_discriminator_is_adam_on_detached_drawn() -> None:
    made, peer = discriminator(), discriminator().network
    optimizer = torch.optim.Adam(peer.parameters(), lr=0.01)
    encoder = nn.Linear(32, 32)
    kept = deepcopy(encoder.state_dict())
    clean, robust = encoder(drawn(0, 8)), encoder(drawn(1, 8))
    losses = []
    for _ in range(60):
        losses.append(made.learn(clean, robust))
        optimizer.zero_grad()
        logits = peer(torch.cat([clean, robust]).detach()).squeeze(1).chunk(2)
        cross = F.binary_cross_entropy_with_logits
        expected = cross(logits[0], torch.ones(8)) + cross(logits[1], torch.zeros(8))
        expected.backward()
        optimizer.step()
        assert losses[-1].item() == pytest.approx(expected.item(), rel=1e-4)
    torch.testing.assert_close(
        flat(tuple(made.network.parameters())), flat(tuple(peer.parameters())), rtol=1e-3, atol=1e-4
    )
    assert losses[-1] < 0.5 * losses[0]
    assert not losses[-1].requires_grad
    assert all(parameter.grad is None for parameter in encoder.parameters())
    assert all(torch.equal(v, kept[k]) for k, v in encoder.state_dict().items())


def test_the_discriminator_says_how_it_judged_each_batch_before_it_learned_from_it() -> None:
    made = discriminator()
    judged = []
    for batch in range(3):
        halves = drawn(batch, 8), drawn(batch + 5, 8)
        of_clean, of_robust = by_hand(made.network, *halves)
        accuracy = ((of_clean > 0.5).mean() + (of_robust <= 0.5).mean()) / 2
        judged.append((made.loss(*halves).item(), accuracy))
        assert made.learn(*halves).item() == pytest.approx(judged[-1][0], rel=1e-6)
    loss, accuracy = np.mean(judged, axis=0)
    expected = {"discriminator_loss": loss, "discriminator_accuracy": accuracy}
    assert made.judged() == pytest.approx(expected, rel=1e-6)
    # What was reported is not reported again.
    before = made.learn(drawn(0, 8), drawn(1, 8)).item()
    assert made.judged()["discriminator_loss"] == pytest.approx(before, rel=1e-6)


def test_a_saved_discriminator_goes_on_bit_by_bit() -> None:
    made, clean, robust = discriminator(), drawn(0, 8), drawn(1, 8)
    for _ in range(3):
        made.learn(clean, robust)
    file = io.BytesIO()
    torch.save(made.state_dict(), file)
    file.seek(0)
    loaded = discriminator(seed=9)
    assert not torch.equal(loaded.network[1].weight, made.network[1].weight)
    loaded.load_state_dict(torch.load(file, weights_only=True))
    for _ in range(3):
        assert torch.equal(made.learn(clean, robust), loaded.learn(clean, robust))
    for ours, theirs in zip(made.network.parameters(), loaded.network.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_discriminator_starts_as_a_linear_layer_does_from_its_own_generator() -> None:
    made = discriminator(width=400)
    first, last = (layer for layer in made.network if isinstance(layer, nn.Linear))
    for layer in (first, last):
        bound = layer.in_features**-0.5
        for parameter in (layer.weight, layer.bias):
            assert parameter.abs().max() <= bound
        assert layer.weight.abs().max() > 0.95 * bound
    assert first.bias.abs().max() > 0.95 * 32**-0.5
    assert torch.equal(discriminator(width=400).network[1].weight, first.weight)
    assert not torch.equal(discriminator(1, width=400).network[1].weight, first.weight)


# --- Self-meta learning, Eq. 9-14 ---


@settings(max_examples=80, deadline=None)
@given(
    counts=st.lists(st.integers(1, 5), min_size=2, max_size=9),
    start=st.integers(0, 40),
    seed=st.integers(0, 2**31),
)
def test_the_split_halves_the_identities_and_keeps_every_row(
    counts: list[int], start: int, seed: int
) -> None:
    labels = torch.cat([torch.full((n,), start + 3 * i) for i, n in enumerate(counts)])
    labels = labels[torch.randperm(len(labels), generator=seeded("order", seed))]
    train, test = split_by_identity(labels, seeded(seed))
    assert sorted(train.tolist() + test.tolist()) == list(range(len(labels)))
    ids = [set(labels[rows].tolist()) for rows in (train, test)]
    assert not ids[0] & ids[1]
    assert len(ids[0]) == math.ceil(len(counts) / 2)
    assert len(ids[1]) == len(counts) // 2
    again = split_by_identity(labels, seeded(seed))
    assert torch.equal(again[0], train)


def test_every_identity_gets_into_either_half() -> None:
    labels = torch.arange(6).repeat(2)
    splits = {
        tuple(sorted(set(labels[split_by_identity(labels, seeded(step))[0]].tolist())))
        for step in range(200)
    }
    assert len(splits) == math.comb(6, 3)


class Inner:
    """A double-precision model with batch norm, its losses on two halves of a batch, and oracles.

    The oracles step a deep copy with torch's own SGD; they share no code with `self_meta_losses`.
    """

    def __init__(self, lr: float = 0.1) -> None:
        self.lr = lr
        self.model = TinyModel().double().train()
        self.images = pixels(4, dtype=torch.float64)
        self.rows = (torch.arange(0, 12), torch.arange(12, 24))

    def features(self, images: Tensor) -> Features:
        return self.model.features(images)

    def losses(self, features: Callable[[Tensor], Features], rows: Tensor) -> dict[str, Tensor]:
        made = features(self.images[rows])
        return {
            "identity": F.cross_entropy(made.logits, LABELS[rows], label_smoothing=0.1),
            "triplet": triplet_loss(made.pooled, LABELS[rows], margin=1.0),
        }

    def loss(self, model: TinyModel, half: int) -> Tensor:
        losses = self.losses(model.features, self.rows[half])
        return losses["identity"] + losses["triplet"]

    def at(self, theta: Tensor) -> TinyModel:
        model = deepcopy(self.model)
        nn.utils.vector_to_parameters(theta.clone(), model.parameters())
        return model

    @property
    def theta(self) -> Tensor:
        return nn.utils.parameters_to_vector(self.model.parameters()).detach().clone()

    def gradient(self, theta: Tensor, half: int) -> Tensor:
        model = self.at(theta)
        return flat(torch.autograd.grad(self.loss(model, half), list(model.parameters())))

    def stepped(self, theta: Tensor) -> Tensor:
        """Return θ after one step of torch's SGD on meta-train (Eq. 9)."""
        model = self.at(theta)
        optimizer = torch.optim.SGD(model.parameters(), lr=self.lr)
        self.loss(model, 0).backward()
        optimizer.step()
        return nn.utils.parameters_to_vector(model.parameters()).detach()

    def total(self, theta: Tensor) -> float:
        """Return L_meta-train(θ) + L_meta-test(θ − α ∇L_meta-train(θ)) (Eq. 12 and 13)."""
        return (self.loss(self.at(theta), 0) + self.loss(self.at(self.stepped(theta)), 1)).item()

    def ours(self, *, second_order: bool) -> tuple[Tensor, float]:
        train, test = self_meta_losses(
            self.model,
            self.features,
            self.losses,
            self.rows,
            Meta(lr=self.lr, second_order=second_order),
        )
        loss = sum(train.values()) + sum(test.values())
        assert isinstance(loss, Tensor)
        return flat(torch.autograd.grad(loss, list(self.model.parameters()))), loss.item()


def test_the_inner_step_is_a_step_of_sgd() -> None:
    case = Inner()
    spare = nn.Parameter(torch.ones(2, dtype=torch.float64))
    parameters = dict(case.model.named_parameters()) | {"spare": spare}
    for second_order in (True, False):
        temporary = inner_step(
            case.loss(case.model, 0), parameters, lr=case.lr, second_order=second_order
        )
        assert torch.equal(temporary.pop("spare"), spare), "a parameter without gradient moved"
        expected = case.stepped(case.theta)
        torch.testing.assert_close(flat(list(temporary.values())), expected, rtol=0, atol=1e-14)
        assert (expected - case.theta).abs().max() > 1e-3


def test_the_loss_is_eq_12() -> None:
    case = Inner()
    for second_order in (True, False):
        assert case.ours(second_order=second_order)[1] == pytest.approx(
            case.total(case.theta), rel=1e-12
        )


def test_the_second_order_gradient_equals_finite_differences() -> None:
    case = Inner()
    gradient, _ = case.ours(second_order=True)
    first_order, _ = case.ours(second_order=False)
    theta, h = case.theta, 1e-6
    generator = torch.Generator().manual_seed(0)
    directions = [torch.randn(len(theta), dtype=torch.float64, generator=generator) for _ in "1234"]
    # And one entry of every parameter tensor, so that none hides behind the others.
    place = 0
    for parameter in case.model.parameters():
        unit = torch.zeros_like(theta)
        largest = gradient[place : place + parameter.numel()].abs().argmax()
        unit[place + largest] = 1
        directions.append(unit)
        place += parameter.numel()
    apart = 0
    for direction in directions:
        slope = (case.total(theta + h * direction) - case.total(theta - h * direction)) / (2 * h)
        assert (gradient @ direction).item() == pytest.approx(slope, rel=1e-5, abs=1e-7)
        apart += abs((first_order @ direction).item() - slope) > 1e-3 * abs(slope)
    assert apart > len(directions) / 2, "the second-order term is too small to be seen here"


def test_the_first_order_gradient_lacks_the_hessian_term_of_eq_14_and_no_other() -> None:
    case = Inner()
    theta = case.theta
    at_temporary = case.gradient(case.stepped(theta), 1)
    first_order, _ = case.ours(second_order=False)
    torch.testing.assert_close(
        first_order, case.gradient(theta, 0) + at_temporary, rtol=1e-9, atol=1e-12
    )
    # −α H g, the Hessian-vector product from differences of gradients.
    h = 1e-5 / at_temporary.norm()
    hessian_g = (
        case.gradient(theta + h * at_temporary, 0) - case.gradient(theta - h * at_temporary, 0)
    ) / (2 * h)
    second_order, _ = case.ours(second_order=True)
    missing = second_order - first_order
    error = (missing + case.lr * hessian_g).norm() / missing.norm()
    assert missing.norm() > 1e-2 * first_order.norm()
    assert error < 1e-5


@pytest.mark.parametrize("second_order", [True, False])
def test_running_statistics_come_from_meta_train_alone(second_order: bool) -> None:
    case = Inner()
    before = deepcopy(case.model.state_dict())
    expected = deepcopy(case.model)
    expected.features(case.images[case.rows[0]])
    case.ours(second_order=second_order)
    for name, buffer in case.model.named_buffers():
        assert torch.equal(buffer, dict(expected.named_buffers())[name]), name
        if name.endswith("num_batches_tracked"):
            assert buffer == before[name] + 1
        elif name.endswith("running_mean"):
            assert not torch.equal(buffer, before[name])
    for name, parameter in case.model.named_parameters():
        assert torch.equal(parameter, before[name])
        assert parameter.grad is None
    assert case.model.training


# --- The recipe: each module changes what it should and nothing else ---

MEDIUM = {"eps": 8 / 255, "steps": 2, "step_size": 4 / 255}


def recipe(*modules: str, **changes) -> DualInvariantDefense:
    return DualInvariantDefense(modules=modules, **(MEDIUM | changes))


def step(made, model: TinyModel | None = None) -> tuple[dict[str, Tensor], Tensor, Recorded, Batch]:
    """Return losses and parameter gradients of one step, the model, and the batch."""
    model = model or Recorded().train()
    companion = made.companion(model, None, seed=0, device=CPU)
    batch = Batch(pixels(9), LABELS, seeded("step"), companion=companion, done=0.9)
    losses = made.losses(model, batch)
    return losses, gradients(model, losses), model, batch


def close(ours: Tensor, theirs: Tensor, rtol: float = 1e-5) -> bool:
    return bool((ours - theirs).norm() <= rtol * theirs.norm())


def test_without_modules_it_is_metric_at() -> None:
    ours, our_gradient, our_model, _ = step(recipe())
    theirs, their_gradient, their_model, _ = step(MetricAT(**MEDIUM))
    assert list(ours) == list(theirs)
    assert {k: v.item() for k, v in ours.items()} == pytest.approx(
        {k: v.item() for k, v in theirs.items()}, rel=1e-5
    )
    assert close(our_gradient, their_gradient)
    assert torch.equal(our_model.inputs[0], their_model.inputs[0])


def test_diffusion_changes_the_preparation_only() -> None:
    plain, with_it = recipe(), recipe("diffusion")
    assert with_it.preparation is with_it.balancing
    for module in ("adversarial", "meta", "fnes"):
        assert recipe(module).preparation is None
    ours, our_gradient, *_ = step(with_it)
    theirs, their_gradient, *_ = step(plain)
    assert {k: v.item() for k, v in ours.items()} == {k: v.item() for k, v in theirs.items()}
    assert torch.equal(our_gradient, their_gradient)


def test_adversarial_learning_adds_its_term_only() -> None:
    ours, our_gradient, model, batch = step(recipe("adversarial"))
    theirs, their_gradient, *_ = step(recipe())
    confusion = ours.pop("confusion")
    assert {k: v.item() for k, v in ours.items()} == {k: v.item() for k, v in theirs.items()}
    assert not close(our_gradient, their_gradient)
    # By hand: D learns once from the features, then −L_D of the D that learned, weighed.
    fresh = recipe("adversarial").companion(model, None, seed=0, device=CPU)
    made = TinyModel().train().features(model.inputs[0]).pooled
    fresh.learn(made[:24], made[24:])
    weight = Adversary().weight
    assert confusion.item() == pytest.approx(-weight * fresh.loss(*made.chunk(2)).item(), rel=1e-5)
    for learned, expected in zip(
        batch.companion.network.parameters(), fresh.network.parameters(), strict=True
    ):
        assert torch.equal(learned, expected)


def test_an_adversary_of_no_weight_leaves_the_encoders_gradient_alone() -> None:
    _, ours, _, batch = step(recipe("adversarial", adversary=Adversary(weight=0.0)))
    _, theirs, *_ = step(recipe())
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-8)
    start = recipe("adversarial").companion(TinyModel(), None, seed=0, device=CPU)
    moved = batch.companion.network[1].weight
    assert not torch.equal(moved, start.network[1].weight), "D learns all the same"


def test_the_encoder_is_left_alone_while_the_discriminator_warms_up() -> None:
    made = recipe("adversarial", adversary=Adversary(warmup=0.5))
    _, plain, *_ = step(recipe())
    for done, alone in ((0.0, True), (0.499, True), (0.5, False), (0.99, False)):
        model = Recorded().train()
        companion = made.companion(model, None, seed=0, device=CPU)
        before = companion.network[1].weight.detach().clone()
        batch = Batch(pixels(9), LABELS, seeded("step"), companion=companion, done=done)
        assert close(gradients(model, made.losses(model, batch)), plain) == alone, done
        assert not torch.equal(companion.network[1].weight, before), "D learns all the same"
        assert set(made.metrics(batch)) == {"discriminator_loss", "discriminator_accuracy"}


def test_the_adversarys_weight_scales_its_part_of_the_gradient() -> None:
    _, none, *_ = step(recipe())
    _, one, *_ = step(recipe("adversarial", adversary=Adversary(weight=1.0)))
    _, three, *_ = step(recipe("adversarial", adversary=Adversary(weight=3.0)))
    assert close(three - none, 3 * (one - none), rtol=1e-3)


def test_fnes_changes_the_adversarial_images_and_their_labels_only() -> None:
    # (1 − ω) γ = 1: the images are FNA's own, and only the labels differ from Metric AT.
    by = Softening(scale=1.25, low=0.2, high=0.2, clean_mass=0.9, robust_mass=0.8, moved=0.3)
    ours, _, model, _ = step(recipe("fnes", fnes=by))
    theirs, _, plain, _ = step(recipe())
    torch.testing.assert_close(model.inputs[0], plain.inputs[0], rtol=0, atol=1e-6)
    for name in ("identity", "triplet", "robust_triplet"):
        assert ours[name].item() == pytest.approx(theirs[name].item(), rel=1e-4), name
    # The labels by hand: the farthest identity is that of the farthest centroid of the batch.
    with torch.no_grad():
        clean = TinyModel().eval()(pixels(9))
        logits = TinyModel().train().features(model.inputs[0]).logits[24:].log_softmax(1)
    centroids = torch.stack([clean[k == LABELS].mean(0) for k in range(6)])
    total = 0.0
    for row, label in enumerate(LABELS.tolist()):
        others = [k for k in range(6) if k != label]
        farthest = max(others, key=lambda k: (clean[row] - centroids[k]).norm().item())
        for k in range(6):
            mass = 0.2 * (0.9 if k == label else 0.1 / 5) + 0.8 * (0.8 if k == label else 0.2 / 5)
            mass += 0.8 * 0.3 * ((k == farthest) - (k == label))
            total -= mass * logits[row, k].item()
    assert ours["robust_identity"].item() == pytest.approx(total / 24, rel=1e-4)
    assert abs(ours["robust_identity"].item() - theirs["robust_identity"].item()) > 1e-3


def test_fnes_stretches_what_fna_made() -> None:
    by = Softening(scale=2.0, low=0.1, high=0.4)
    losses, _, model, _ = step(recipe("fnes", fnes=by))
    _, _, plain, _ = step(recipe())
    clean, ours = model.inputs[0].chunk(2)
    attacked = plain.inputs[0].chunk(2)[1]
    assert torch.equal(clean, pixels(9))
    assert list(losses) == ["identity", "triplet", "robust_identity", "robust_triplet"]
    inside = (clean + 2 * (attacked - clean) - 0.5).abs() < 0.5
    moved = inside & ((attacked - clean).abs() > 1e-3)
    shares = ((ours - clean) / (attacked - clean))[moved] / 2
    assert (1 - shares).min() >= 0.1 - 1e-3
    assert (1 - shares).max() <= 0.4 + 1e-3
    assert (1 - shares).std() > 0.05


def test_fnes_minimises_eq_5_on_the_stretched_images() -> None:
    by = Softening(scale=2.0, low=0.1, high=0.4, clean_mass=0.7, robust_mass=0.8, moved=0.3)
    losses, _, model, _ = step(recipe("fnes", fnes=by))
    _, _, plain, _ = step(recipe())
    clean, stretched = model.inputs[0].chunk(2)
    attacked = plain.inputs[0].chunk(2)[1]
    with torch.no_grad():
        embedding = TinyModel().eval()(clean)
        made = TinyModel().train().features(model.inputs[0])
    log_p, pooled = made.logits[24:].log_softmax(1), made.pooled[24:].double()
    centroids = torch.stack([embedding[k == LABELS].mean(0) for k in range(6)])
    identity = triplet = 0.0
    for row, label in enumerate(LABELS.tolist()):
        # ω from a pixel that was moved and not clipped.
        change, full = (stretched - clean)[row].flatten(), (attacked - clean)[row].flatten()
        inside = (clean[row].flatten() + 2 * full - 0.5).abs() < 0.5
        pixel = int((full.abs() * inside).argmax())
        omega = 1 - (change[pixel] / full[pixel]).item() / 2
        others = [k for k in range(6) if k != label]
        farthest = max(others, key=lambda k: (embedding[row] - centroids[k]).norm().item())
        for k in range(6):
            easy = 0.7 if k == label else 0.3 / 5
            hard = (0.8 if k == label else 0.2 / 5) + 0.3 * ((k == farthest) - (k == label))
            identity -= (omega * easy + (1 - omega) * hard) * log_p[row, k].item()
        away = [(pooled[row] - pooled[other]).norm().item() for other in range(24)]
        same = [other for other in range(24) if LABELS[other] == label and other != row]
        rest = [other for other in range(24) if LABELS[other] != label]
        triplet += max(0.0, max(away[i] for i in same) - min(away[i] for i in rest) + 0.3)
    assert losses["robust_identity"].item() == pytest.approx(identity / 24, rel=1e-4)
    assert losses["robust_triplet"].item() == pytest.approx(triplet / 24, rel=1e-4)


@pytest.mark.parametrize("second_order", [True, False])
def test_meta_judges_the_other_half_after_the_inner_step(second_order: bool) -> None:
    meta = Meta(lr=0.05, second_order=second_order)
    ours, _, model, _ = step(recipe("meta", meta=meta))
    _, _, plain, _ = step(recipe())
    base = ["identity", "triplet", "robust_identity", "robust_triplet"]
    assert list(ours) == base + [f"meta_test_{name}" for name in base]
    train, test = split_by_identity(LABELS, seeded("step"))
    clean, attacked = plain.inputs[0].chunk(2)
    inputs = [torch.cat([clean[rows], attacked[rows]]) for rows in (train, test)]
    assert len(model.inputs) == 2
    assert all(torch.equal(a, b) for a, b in zip(model.inputs, inputs, strict=True))

    def terms(at: TinyModel, half: int, rows: Tensor) -> dict[str, Tensor]:
        made = at.features(inputs[half])
        pairs = [Features(*part) for part in zip(*(f.chunk(2) for f in made), strict=True)]
        return recipe().pair(pairs[0], LABELS[rows]) | {
            f"robust_{k}": v for k, v in recipe().pair(pairs[1], LABELS[rows]).items()
        }

    at = TinyModel().train()
    expected = terms(at, 0, train)
    optimizer = torch.optim.SGD(at.parameters(), lr=0.05)
    gradients(at, expected)
    optimizer.step()
    expected |= {f"meta_test_{k}": v for k, v in terms(at, 1, test).items()}
    assert {k: v.item() for k, v in ours.items()} == pytest.approx(
        {k: v.item() for k, v in expected.items()}, rel=1e-4
    )


def test_the_discriminator_learns_once_a_step_also_with_meta(monkeypatch) -> None:
    seen: list[int] = []
    learn = Discriminator.learn

    def counted(self: Discriminator, clean: Tensor, robust: Tensor) -> Tensor:
        seen.append(len(clean))
        return learn(self, clean, robust)

    monkeypatch.setattr(Discriminator, "learn", counted)
    losses, *_ = step(recipe("adversarial", "meta"))
    assert seen == [12]
    assert {"confusion", "meta_test_confusion"} <= set(losses)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("second_order", [True, False])
def test_all_modules_together_are_finite_and_reach_every_parameter(
    precision: str, second_order: bool
) -> None:
    made = recipe(*ALL, meta=Meta(second_order=second_order))
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        model = Recorded().train()
        batch = Batch(
            pixels(9),
            LABELS,
            seeded("step"),
            companion=made.companion(model, None, seed=0, device=CPU),
            done=0.9,
        )
        losses = made.losses(model, batch)
    assert all(loss.isfinite() and loss.dtype == torch.float32 for loss in losses.values())
    assert len(losses) == 10
    torch.stack(list(losses.values())).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert (parameter.grad != 0).any(), name


def test_the_targets_of_metric_at_follow_the_trainings_smoothing() -> None:
    training = Training(label_smoothing=0.3)
    ours, *_ = step(replace(recipe(), training=training))
    theirs, *_ = step(MetricAT(training=training, **MEDIUM))
    assert ours["robust_identity"].item() == pytest.approx(
        theirs["robust_identity"].item(), rel=1e-5
    )
