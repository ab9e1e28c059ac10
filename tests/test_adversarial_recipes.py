"""The recipes with an attack inside, against plain loops, and contracts over all of them."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor, nn

from attacks import FNA, MetricIFGSM
from attacks import pgd as pgd_module
from attacks.ascent import Ball, ascend
from attacks.fna import farthest_label
from attacks.in_training import attack_batch, frozen
from attacks.pgd import classifier_pgd
from benchbox.data.images import load_images
from benchbox.data.protocol import ImageRecord
from benchbox.errors import BenchboxError
from benchbox.models.reid import Features
from benchbox.training.augmentation import Augmentation
from benchbox.training.loop import train
from benchbox.training.losses import identity_loss, triplet_loss
from benchbox.training.preparation import Ingredients
from benchbox.training.probing import nearest_is_same, probe
from benchbox.training.recipe import Batch, Recipe
from benchbox.training.seeding import seeded
from benchbox.training.training_set import TrainingSet, class_labels
from defenses import (
    ATPGD,
    DEFENSES,
    AdversarialMetricDefense,
    AdversarialRecipe,
    AdvTrain,
    DualInvariantDefense,
    DynamicAttack,
    MetricAT,
    Vanilla,
)
from defenses.amd import Examples
from defenses.das import Budgets
from defenses.ranking_recipe import RankingRecipe
from tests.micro import make_micro_dataset
from tests.test_training import CPU, SHORT, Recorded, TinyModel, made_data

LABELS = torch.arange(6).repeat_interleave(4)
MEDIUM = {"eps": 8 / 255, "steps": 3, "step_size": 3 / 255}


def pixels(seed: int = 0, rows: int = 24) -> Tensor:
    return torch.rand(rows, 3, 16, 8, generator=torch.Generator().manual_seed(seed))


def logits_of(model: TinyModel):
    return lambda images: model.features(images).logits


def trained(recipe: Recipe | None = None, *, folder: Path, data: TrainingSet | None = None):
    model = TinyModel()
    made = recipe or Vanilla(training=SHORT)
    train(made, model, data or made_data(), seed=0, folder=folder, device=CPU)
    model.zero_grad(set_to_none=True)
    return model


@pytest.fixture(scope="module")
def vanilla(tmp_path_factory) -> TinyModel:
    """A model that has learned the made data, evaluated."""
    return trained(folder=tmp_path_factory.mktemp("vanilla")).eval()


def real_pixels() -> Tensor:
    """The first four images of each made identity."""
    data = made_data()
    return data.images.unflatten(0, (6, 8))[:, :4].flatten(0, 1).float() / 255


# --- The ascent loop with a step and a ball per image ---


def test_a_step_size_per_image_is_a_call_per_image() -> None:
    images, pull = pixels(1, 5), pixels(2, 5)
    eps = torch.tensor([0.0, 1, 4, 8, 10]).view(-1, 1, 1, 1) / 255
    step = 1.3 * eps / 4

    def towards(goal: Tensor):
        return lambda points: goal - points

    together = ascend(images, towards(pull), Ball.around(images, eps), steps=4, step_size=step)
    for row in range(5):
        one = images[row : row + 1]
        ball = Ball.around(one, eps[row].item())
        alone = ascend(one, towards(pull[row : row + 1]), ball, steps=4, step_size=step[row].item())
        torch.testing.assert_close(together[row : row + 1], alone, rtol=0, atol=1e-7)
        assert (together[row] - images[row]).abs().max() <= 1.33 * eps[row].item() + 1e-6


# --- PGD on the classifier, AT_PGD ---


def test_classifier_pgd_is_the_loop_of_madry(vanilla: TinyModel) -> None:
    images = real_pixels()
    made = classifier_pgd(logits_of(vanilla), images, LABELS, **MEDIUM, generator=seeded("start"))
    generator, points = seeded("start"), []
    for row, image in enumerate(images):
        noise = torch.empty_like(image).uniform_(-1, 1, generator=generator)
        point = (image + MEDIUM["eps"] * noise).clamp(0, 1)
        for _ in range(MEDIUM["steps"]):
            point = point.detach().requires_grad_()
            logits = vanilla.features(point[None]).logits.log_softmax(1)
            (gradient,) = torch.autograd.grad(-logits[0, LABELS[row]], point)
            point = point + MEDIUM["step_size"] * gradient.sign()
            point = torch.max(torch.min(point, image + MEDIUM["eps"]), image - MEDIUM["eps"])
            point = point.clamp(0, 1)
        points.append(point.detach())
    expected = torch.stack(points)
    # A gradient of nearly zero may round to either sign in a batch of another size.
    same = (made - expected).abs() < 1e-6
    assert same.float().mean() > 0.999
    assert not made.requires_grad
    assert (made - images).abs().max() <= MEDIUM["eps"] + 1e-6
    assert made.min() >= 0
    assert made.max() <= 1
    assert all(parameter.grad is None for parameter in vanilla.parameters())
    with torch.no_grad():
        before, after = (
            nn.functional.cross_entropy(vanilla.features(x).logits, LABELS) for x in (images, made)
        )
    assert after > before


def test_classifier_pgd_from_the_image_equals_a_peer_library(vanilla, monkeypatch) -> None:
    torchattacks = pytest.importorskip("torchattacks")
    monkeypatch.setattr(pgd_module, "uniform_noise", lambda images, *_: torch.zeros_like(images))
    ours = classifier_pgd(logits_of(vanilla), real_pixels(), LABELS, **MEDIUM, generator=seeded())

    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = vanilla

        def forward(self, images: Tensor) -> Tensor:
            return self.model.features(images).logits

    peer = torchattacks.PGD(
        Classifier().eval(), eps=8 / 255, alpha=3 / 255, steps=3, random_start=False
    )
    assert ((ours - peer(real_pixels(), LABELS)).abs() < 1e-6).float().mean() > 0.999


def test_the_random_start_comes_from_the_generator(vanilla: TinyModel) -> None:
    starts = [
        classifier_pgd(
            logits_of(vanilla),
            real_pixels(),
            LABELS,
            eps=8 / 255,
            steps=0,
            step_size=1 / 255,
            generator=seeded(name),
        )
        for name in ("a", "a", "b")
    ]
    assert torch.equal(starts[0], starts[1])
    assert not torch.equal(starts[0], starts[2])
    moves = (starts[0] - real_pixels()) * 255 / 8
    assert moves.abs().max() > 0.95
    assert moves.std().item() == pytest.approx(3**-0.5, abs=0.05)


def hand_pair(features: Features, labels: Tensor) -> dict[str, float]:
    return {
        "identity": identity_loss(features.logits, labels, smoothing=0.1).item(),
        "triplet": triplet_loss(features.pooled, labels, margin=0.3).item(),
    }


def test_at_pgd_is_the_two_losses_on_the_pgd_batch() -> None:
    losses = ATPGD(**MEDIUM).losses(TinyModel().train(), Batch(pixels(), LABELS, seeded(0)))
    model = TinyModel().eval()
    adversarial = classifier_pgd(logits_of(model), pixels(), LABELS, **MEDIUM, generator=seeded(0))
    expected = hand_pair(model.train().features(adversarial), LABELS)
    assert {k: v.item() for k, v in losses.items()} == pytest.approx(expected, rel=1e-3)


def test_metric_at_is_the_two_losses_on_clean_and_on_fna() -> None:
    losses = MetricAT(**MEDIUM).losses(TinyModel().train(), Batch(pixels(), LABELS, seeded(0)))
    model = TinyModel().eval()
    attack = FNA(**MEDIUM)
    with torch.no_grad():
        guides = attack.guides(model(pixels()), LABELS)
    adversarial = attack(model, pixels(), guides)
    # One batch of both for batch norm; the triplets are mined in each kind by itself.
    both = model.train().features(torch.cat([pixels(), adversarial]))
    clean, robust = (Features(*(f[rows] for f in both)) for rows in (slice(24), slice(24, 48)))
    expected = hand_pair(clean, LABELS)
    expected |= {f"robust_{k}": v for k, v in hand_pair(robust, LABELS).items()}
    assert {k: v.item() for k, v in losses.items()} == pytest.approx(expected, rel=1e-3)
    apart = TinyModel().train()
    assert losses["identity"].item() != pytest.approx(
        hand_pair(apart.features(pixels()), LABELS)["identity"], rel=1e-4
    )


def test_adv_train_and_metric_at_meet_different_images() -> None:
    adv = AdvTrain(**MEDIUM).losses(TinyModel().train(), Batch(pixels(), LABELS, seeded(0)))
    both = MetricAT(**MEDIUM).losses(TinyModel().train(), Batch(pixels(), LABELS, seeded(0)))
    assert set(both) == {*adv, *(f"robust_{name}" for name in adv)}
    assert adv["identity"].item() != both["robust_identity"].item()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.lists(st.integers(0, 4), min_size=4, max_size=20))
def test_the_farthest_label_is_that_of_the_farthest_other_centroid(
    seed: int, numbers: list[int]
) -> None:
    labels = [0, 4, *numbers]
    embeddings = torch.randn(
        len(labels), 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    found = farthest_label(embeddings, torch.tensor(labels)).tolist()
    guides = FNA().guides(embeddings, torch.tensor(labels))
    centroids = {
        k: sum(e for e, label in zip(embeddings, labels, strict=True) if label == k)
        / labels.count(k)
        for k in sorted(set(labels))
    }
    for row, label in enumerate(labels):
        away = {k: (embeddings[row] - c).norm().item() for k, c in centroids.items() if k != label}
        assert found[row] == max(away, key=away.__getitem__)
        pulled_to = guides.bank[guides.pull[row, 0]]
        torch.testing.assert_close(pulled_to, centroids[found[row]])


# --- AMD ---


@pytest.fixture(scope="module")
def made_examples(tmp_path_factory):
    """The micro dataset's images, the records, a vanilla model of them, and a maker of examples."""
    root = make_micro_dataset(tmp_path_factory.mktemp("micro"), train=6, test=0)
    records = [
        ImageRecord(path, int(path.name[:4]), int(path.name[6]))
        for path in sorted((root / "bounding_box_train").iterdir())
    ]
    data = TrainingSet(load_images(records, size=(16, 8)), class_labels(records))
    model = trained(folder=tmp_path_factory.mktemp("weights"), data=data)

    def make(batch_size: int, preparation: Examples | None = None) -> Tensor:
        preparation = preparation or Examples()
        folder = tmp_path_factory.mktemp("examples")
        told: list[float] = []
        given = Ingredients(
            records=records,
            data=data,
            vanilla=model.train(),
            device=CPU,
            batch_size=batch_size,
            scratch=folder,
            progress=lambda share, _text: told.append(share),
        )
        preparation.make(given, folder)
        assert model.training
        assert told[-1] == pytest.approx(1)
        prepared = preparation.training_set(records, data, folder)
        assert torch.equal(prepared.images, data.images)
        assert torch.equal(prepared.labels, data.labels)
        stored = load_file(folder / "examples.safetensors")["examples"]
        assert prepared.examples is not None
        assert torch.equal(prepared.examples, stored)
        return stored

    return SimpleNamespace(data=data, records=records, model=model, make=make)


def test_amds_examples_lie_in_the_ball_on_the_grid_and_fool_the_vanilla_model(
    made_examples,
) -> None:
    examples, images = made_examples.make(12), made_examples.data.images
    assert examples.dtype == torch.uint8
    assert examples.shape == images.shape
    moves = examples.int() - images.int()
    assert moves.abs().max() == 5
    model, labels = made_examples.model.eval(), made_examples.data.labels
    attack = MetricIFGSM()
    with torch.no_grad():
        clean, attacked = (model(x.float() / 255) for x in (images, examples))
        guides = attack.guides(clean, labels)
        before, after = (attack.objective(x, guides) for x in (clean, attacked))
    assert (after > before).float().mean() > 0.9
    assert after.mean() > 2 * before.mean()


def test_amds_examples_do_not_depend_on_the_batch_size(made_examples) -> None:
    examples = made_examples.make(12)
    assert torch.equal(examples, made_examples.make(12))
    for batch_size in (5, 100):
        # Rounding in a batch of another size may turn the sign of a gradient of nearly zero.
        same = examples == made_examples.make(batch_size)
        assert same.float().mean() > 0.995


def test_amds_budget_is_its_own(made_examples) -> None:
    few = made_examples.make(12, Examples(eps=2 / 255, steps=3))
    assert (few.int() - made_examples.data.images.int()).abs().max() == 2


def test_amd_trains_on_images_and_examples_with_the_same_labels() -> None:
    clean, examples = pixels(0), pixels(1)
    batch = Batch(clean, LABELS, seeded(0), examples=examples)
    losses = AdversarialMetricDefense().losses(TinyModel().train(), batch)
    features = TinyModel().train().features(torch.cat([clean, examples]))
    expected = hand_pair(features, torch.cat([LABELS, LABELS]))
    assert {k: v.item() for k, v in losses.items()} == pytest.approx(expected, rel=1e-6)


class Spy(Vanilla):
    """Trains as vanilla and keeps the batches."""

    batches: ClassVar[list[Batch]] = []

    def losses(self, model, batch: Batch) -> dict[str, Tensor]:
        self.batches.append(batch)
        return super().losses(model, batch)


@pytest.mark.parametrize("jitter", [0.0, 0.2])
def test_the_loop_augments_examples_exactly_as_their_images(jitter: float, tmp_path) -> None:
    plain = made_data()
    # Each pixel of an example is 3 above its image: so it must be after flip, crop and erasing.
    images = plain.images.clamp(max=200)
    data = TrainingSet(images, plain.labels, examples=images + 3)
    policy = Augmentation(flip=0.5, pad=2, jitter=jitter, erasing=0.5)
    Spy.batches.clear()
    recipe = Spy(training=replace(SHORT, epochs=1, augmentation=policy))
    train(recipe, TinyModel(), data, seed=0, folder=tmp_path, device=CPU)
    assert len(Spy.batches) == 4
    padded_or_erased = 0.0
    for batch in Spy.batches:
        assert batch.examples is not None
        assert batch.rows is not None
        assert torch.equal(data.labels[batch.rows], batch.labels)
        apart = batch.examples - batch.images
        untouched = apart.abs() < 1e-6
        padded_or_erased += untouched.float().mean().item() / 4
        if jitter == 0:
            assert (untouched | ((apart - 3 / 255).abs() < 1e-6)).all()
        else:
            # One gain per image and channel; a pixel at the top of the range is clipped.
            assert apart.min() >= -1e-6
            assert apart.max() < 3 * 2 / 255
    assert 0.02 < padded_or_erased < 0.6


# --- DAS ---

DAS = DynamicAttack()


@settings(max_examples=100, deadline=None)
@given(
    visits=st.lists(st.tuples(st.floats(0, 20), st.booleans()), min_size=1, max_size=12),
    bounds=st.tuples(st.integers(0, 20), st.integers(0, 20)),
    change=st.floats(0, 8),
    growth=st.floats(0.05, 1),
    done=st.floats(0, 0.999),
)
def test_budgets_move_as_the_schedule_says(
    visits: list[tuple[float, bool]],
    bounds: tuple[int, int],
    change: float,
    growth: float,
    done: float,
) -> None:
    least, eps = (bound / 255 for bound in sorted(bounds))
    made = DynamicAttack(least=least, eps=eps, change=change / 255, growth=growth)
    cap = least + (eps - least) * (done / growth if done < growth else 1)
    # Before the visit every budget lies in [least, cap], as it does in training.
    before = [min(max(budget / 255, least), cap) for budget, _ in visits]
    after = made.adapted(
        torch.tensor(before, dtype=torch.float64),
        torch.tensor([withstood for _, withstood in visits]),
        done=done,
    ).tolist()
    for budget, (_, withstood), moved in zip(before, visits, after, strict=True):
        if withstood:
            expected = min(budget + change / 255, cap)
        else:
            expected = max(budget - change / 255, least)
        assert moved == pytest.approx(expected, abs=1e-12)
        assert least - 1e-12 <= moved <= cap + 1e-12


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"least": 11 / 255}, "0 ≤ least ≤ eps"),
        ({"growth": 0.0}, "0 < growth ≤ 1"),
        ({"eps": 2.0}, r"eps: expected a number in \[0, 1\]"),
        ({"steps": -1}, "steps: expected a whole number"),
    ],
)
def test_das_refuses_values_out_of_range(values: dict[str, float], message: str) -> None:
    with pytest.raises(BenchboxError, match=message):
        DynamicAttack(**values)


def das_batch(eps: Tensor, images: Tensor | None = None) -> Batch:
    budgets = Budgets(24, 0.0)
    budgets.eps.copy_(eps)
    rows = torch.arange(24)
    images = real_pixels() if images is None else images
    return Batch(images, LABELS, seeded(0), rows=rows, done=0.9, companion=budgets)


def test_each_image_is_attacked_inside_its_own_budget_up_to_its_edge(vanilla) -> None:
    eps = torch.linspace(0, 10, 24) / 255
    images = real_pixels()
    adversarial = DAS.attacked(vanilla.train(), das_batch(eps, images))
    vanilla.eval()
    reached = (adversarial - images).abs().flatten(1).amax(1)
    torch.testing.assert_close(reached, eps, rtol=0, atol=1e-6)
    assert adversarial.min() >= 0
    assert adversarial.max() <= 1
    assert not adversarial.requires_grad


def test_with_one_budget_for_all_das_attacks_as_fna_does(vanilla) -> None:
    images = real_pixels()
    made = DAS.attacked(vanilla, das_batch(torch.full((24,), 8 / 255), images))
    attack = FNA(eps=8 / 255, steps=7, step_size=1.25 * 8 / 255 / 7)
    with torch.no_grad():
        guides = attack.guides(vanilla(images), LABELS)
    expected = attack(vanilla, images, guides)
    assert ((made - expected).abs() < 1e-6).float().mean() > 0.999


def test_a_visit_moves_the_budgets_by_what_withstood(vanilla) -> None:
    eps = torch.linspace(4, 10, 24) / 255
    batch = das_batch(eps)
    # A batch from the middle of the training set: only its rows may move.
    budgets = Budgets(60, 6 / 255)
    rows = torch.randperm(60, generator=seeded("rows"))[:24]
    budgets.eps[rows] = eps
    batch = replace(batch, companion=budgets, rows=rows)
    DAS.losses(trained_copy(vanilla), batch)
    adversarial = DAS.attacked(vanilla, das_batch(eps))
    with torch.no_grad():
        gallery, queries = vanilla(batch.images), vanilla(adversarial)
    up = down = 0
    for place, row in enumerate(rows.tolist()):
        away = [(queries[place] - other).norm().item() for other in gallery]
        away[place] = float("inf")
        withstood = LABELS[away.index(min(away))] == LABELS[place]
        before = eps[place].item()
        after = min(before + 1 / 255, 10 / 255) if withstood else max(before - 1 / 255, 4 / 255)
        assert budgets.eps[row].item() == pytest.approx(after, abs=1e-7)
        up, down = up + int(withstood), down + int(not withstood)
    assert up
    assert down
    others = [row for row in range(60) if row not in rows.tolist()]
    assert (budgets.eps[others] == 6 / 255).all()


def trained_copy(model: TinyModel) -> TinyModel:
    copy = TinyModel()
    copy.load_state_dict(model.state_dict())
    return copy.train()


def test_das_is_not_a_fixed_budget(tmp_path) -> None:
    das = replace(DAS, training=replace(SHORT, epochs=6), steps=3)
    adapted = trained(das, folder=tmp_path / "das")
    saved = torch.load(tmp_path / "das" / "checkpoint.pt", weights_only=True)["companion"]["eps"]
    assert len(saved) == len(made_data().labels)
    assert saved.min() >= das.least - 1e-7
    assert saved.max() <= das.eps + 1e-7
    assert len(saved.unique()) > 2, "all images have the same budget"
    log = [json.loads(line) for line in (tmp_path / "das" / "log.jsonl").read_text().splitlines()]
    assert 4 <= log[0]["budget_mean"] < log[-1]["budget_mean"] <= 10
    assert log[-1]["budget_mean"] == pytest.approx(255 * saved.mean().item(), rel=1e-5)
    assert log[-1]["budget_std"] == pytest.approx(255 * saved.std().item(), rel=1e-5)
    # With one budget for all it would be Adv_train, with the budgets it starts with it is not.
    constant = AdvTrain(eps=8 / 255, steps=3, step_size=1.25 * 8 / 255 / 3)
    losses = [
        recipe.losses(trained_copy(adapted), das_batch(eps))["identity"].item()
        for recipe, eps in (
            (constant, torch.zeros(24)),
            (das, torch.full((24,), 8 / 255)),
            (das, torch.full((24,), das.least)),
        )
    ]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    assert abs(losses[2] - losses[0]) > 1e-2 * losses[0]


# --- Probing ---


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 40), st.integers(1, 5))
def test_nearest_is_same_equals_brute_force(seed: int, rows: int, identities: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    gallery = torch.randn(rows, 4, generator=generator, dtype=torch.float64)
    queries = gallery + 0.7 * torch.randn(rows, 4, generator=generator, dtype=torch.float64)
    labels = torch.randint(identities, (rows,), generator=generator)
    found = nearest_is_same(queries, gallery, labels).tolist()
    for row in range(rows):
        others = [j for j in range(rows) if j != row]
        nearest = min(others, key=lambda j: (queries[row] - gallery[j]).norm().item())
        assert found[row] == (labels[nearest] == labels[row]).item()


def test_the_probe_says_what_a_hand_count_says_and_leaves_the_model_alone(vanilla) -> None:
    model = trained_copy(vanilla)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    batch = Batch(real_pixels(), LABELS, seeded(0))
    recipe = AdvTrain(**MEDIUM)
    said = probe(recipe, model, batch)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    adversarial = recipe.attacked(vanilla, batch)
    with torch.no_grad():
        gallery, queries = vanilla(batch.images), vanilla(adversarial)
    for name, points in (("clean_rank1", gallery), ("robust_rank1", queries)):
        hits = 0
        for row in range(24):
            away = [(points[row] - other).norm().item() for other in gallery]
            away[row] = float("inf")
            hits += int(LABELS[away.index(min(away))] == LABELS[row])
        assert said[name] == pytest.approx(hits / 24)
    assert said["robust_rank1"] < said["clean_rank1"]
    assert set(probe(Vanilla(), model, batch)) == {"clean_rank1"}


# --- Contracts over every recipe ---

RECIPES = {defense.name: defense.recipe for defense in DEFENSES.values() if defense.guard is None}


@pytest.mark.parametrize("name", RECIPES)
def test_one_step_of_every_recipe(name: str) -> None:
    recipe, data = RECIPES[name], made_data()
    if isinstance(recipe, AdversarialRecipe):
        recipe = replace(recipe, steps=2)
    if isinstance(recipe, RankingRecipe):
        recipe = replace(recipe, margin=2.0)  # every triplet counts, however easy
    model = Recorded().train()
    companion = recipe.companion(model, data, seed=0, device=CPU)
    batch = Batch(
        real_pixels(),
        LABELS,
        seeded(0),
        rows=torch.arange(24),
        done=0.5,
        examples=(real_pixels() + 3 / 255).clamp(max=1),
        companion=companion,
    )
    untouched = batch.images.clone()
    losses = recipe.losses(model, batch)
    assert torch.equal(batch.images, untouched)
    assert model.training
    assert all(module.training for module in model.modules())
    assert all(loss.ndim == 0 and loss.isfinite() for loss in losses.values())
    assert all(parameter.grad is None for parameter in model.parameters())
    # The attack moves no statistics, nor does meta-test: one forward pass does.
    expected = TinyModel().train()
    expected.features(model.inputs[0])
    for key, buffer in expected.named_buffers():
        assert torch.equal(dict(model.named_buffers())[key], buffer), key
    assert len(model.inputs) == 1 + ("meta" in getattr(recipe, "modules", ()))
    torch.stack(list(losses.values())).sum().backward()
    for parameter in model.trunk.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()
    assert model.trunk[0].weight.grad.abs().max() > 0
    with torch.random.fork_rng():
        torch.manual_seed(12345)  # all randomness is the generator's
        model = Recorded().train()
        companion = recipe.companion(model, data, seed=0, device=CPU)
        again = recipe.losses(model, replace(batch, generator=seeded(0), companion=companion))
    assert {k: v.item() for k, v in again.items()} == {k: v.item() for k, v in losses.items()}


@pytest.mark.parametrize("name", [n for n, r in RECIPES.items() if r.start != "vanilla"])
def test_the_attack_of_every_recipe_stays_in_its_ball(name: str, vanilla) -> None:
    recipe = RECIPES[name]
    companion = recipe.companion(vanilla, made_data(), seed=0, device=CPU)
    if name == "das":
        companion = Budgets(24, 8 / 255)
    batch = Batch(
        real_pixels(), LABELS, seeded(0), rows=torch.arange(24), done=0.5, companion=companion
    )
    attacked = recipe.attacked(vanilla, batch)
    if attacked is None:
        assert not isinstance(recipe, AdversarialRecipe)
        return
    eps = {"amd": 5 / 255, "das": 8 / 255}.get(name) or recipe.eps
    moves = (attacked - batch.images).abs()
    assert moves.max().item() == pytest.approx(eps, abs=1e-6)
    assert not attacked.requires_grad


def test_only_what_prepares_something_says_so() -> None:
    assert {name for name, recipe in RECIPES.items() if recipe.preparation is not None} == {
        "amd",
        "ddd",
        "metric_at_diffusion",
    }
    for name, module in (
        ("metric_at_diffusion", "diffusion"),
        ("metric_at_adversarial", "adversarial"),
        ("metric_at_meta", "meta"),
        ("metric_at_fnes", "fnes"),
    ):
        recipe = RECIPES[name]
        assert isinstance(recipe, DualInvariantDefense)
        assert recipe.modules == (module,)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_frozen_copy_embeds_as_the_evaluated_model_does(precision: str, vanilla) -> None:
    model = trained_copy(vanilla)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        embed = frozen(model)
        ours = embed(real_pixels())
    with torch.no_grad():
        theirs = vanilla(real_pixels())
    assert ours.dtype == torch.float32
    tolerance = 1e-5 if precision == "fp32" else 0.05
    torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance)
    if precision == "bf16":
        assert not torch.allclose(ours, theirs, rtol=0, atol=1e-5), "it ran in full precision"
    assert model.training
    attack_batch(FNA(eps=8 / 255, steps=1), model, real_pixels(), LABELS)
    assert model.training
