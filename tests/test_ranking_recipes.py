"""The defenses of deep ranking and GOAT, each against a plain loop over its published equation."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from attacks import SMA
from attacks.in_training import ascend_batch, frozen
from benchbox.errors import BenchboxError
from benchbox.training.augmentation import Augmentation
from benchbox.training.losses import identity_loss, triplet_loss
from benchbox.training.recipe import Batch, Training
from benchbox.training.seeding import seeded
from benchbox.training.training_set import TrainingSet
from defenses import (
    AntiCollapseTriplet,
    EmbeddingShiftedTriplet,
    Goat,
    HardnessManipulation,
)
from defenses.goat import Pool
from defenses.hm_ics import LastLoss
from defenses.triplets import Mining, mine
from tests.test_adversarial_recipes import (
    LABELS,
    MEDIUM,
    pixels,
    real_pixels,
    trained,
    trained_copy,
)
from tests.test_training import CPU, Recorded, TinyModel, made_data

PLAIN = Training(augmentation=Augmentation(flip=0, pad=0, jitter=0, erasing=0))


@pytest.fixture(scope="module")
def vanilla(tmp_path_factory) -> TinyModel:
    return trained(folder=tmp_path_factory.mktemp("vanilla")).eval()


def embedded(model: TinyModel, images: Tensor) -> Tensor:
    with torch.no_grad():
        return model.eval()(images)


def ball_loop(slope, images: Tensor, *, start: Tensor, eps: float, steps: int, step_size: float):
    """Signed steps on a function of all images, written out."""
    points = start.clone()
    for _ in range(steps):
        points = points.clamp(images - eps, images + eps).clamp(0, 1).requires_grad_()
        (gradient,) = torch.autograd.grad(slope(points), points)
        points = (points + step_size * gradient.sign()).detach()
    return points.clamp(images - eps, images + eps).clamp(0, 1)


def alike(made: Tensor, expected: Tensor) -> None:
    """Almost all pixels agree: a gradient of nearly zero may round to either sign."""
    assert ((made - expected).abs() < 1e-6).float().mean() > 0.999


# --- Triplets ---


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 1000),
    st.lists(st.integers(0, 4), min_size=4, max_size=14),
    st.sampled_from(["random", "soft_hard", "hard"]),
)
def test_triplets_are_those_of_a_plain_search(seed: int, numbers: list[int], how: Mining) -> None:
    labels = torch.tensor([7, 7, 8, *numbers])
    draw = torch.Generator().manual_seed(seed)
    embeddings = torch.randn(len(labels), 3, generator=draw, dtype=torch.float64)
    found = mine(embeddings, labels, how, generator=draw)
    away = [[(a - b).norm().item() for b in embeddings] for a in embeddings]
    members = {
        row: (
            [j for j in range(len(labels)) if j != row and labels[j] == labels[row]],
            [j for j in range(len(labels)) if labels[j] != labels[row]],
        )
        for row in range(len(labels))
    }
    assert found.anchor.tolist() == [row for row, (own, _) in members.items() if own]
    for row, positive, negative in zip(*(part.tolist() for part in found), strict=True):
        own, others = members[row]
        farthest = max(away[row][j] for j in own)
        nearest = min(away[row][j] for j in others)
        beyond = [j for j in own if away[row][j] > nearest]
        before = [j for j in others if away[row][j] < farthest]
        allowed = {
            "random": (own, others),
            "soft_hard": (beyond or own, before or others),
            "hard": (
                [j for j in own if away[row][j] == farthest],
                [j for j in others if away[row][j] == nearest],
            ),
        }[how]
        assert positive in allowed[0]
        assert negative in allowed[1]


def test_every_fellow_and_every_stranger_is_drawn_about_as_often() -> None:
    embeddings, counts = torch.randn(24, 4, generator=seeded("e")), torch.zeros(24)
    for number in range(600):
        found = mine(embeddings, LABELS, "random", generator=seeded(number))
        counts[found.positive[0]] += 1
        counts[found.negative[0]] += 1
    assert counts[0] == 0
    assert (counts[1:4] - 200).abs().max() < 60
    assert (counts[4:] - 30).abs().max() < 25


def test_a_batch_without_triplets_is_refused() -> None:
    with pytest.raises(BenchboxError, match="raise batch_images and batch_identities"):
        mine(torch.randn(4, 2), torch.arange(4), "hard", generator=seeded(0))


@pytest.mark.parametrize(
    ("recipe", "values", "message"),
    [
        (EmbeddingShiftedTriplet, {"mining": "hardest"}, "unknown mining 'hardest'"),
        (AntiCollapseTriplet, {"margin": -0.1}, "act: expected margin ≥ 0"),
        (HardnessManipulation, {"structure": -1.0}, "hm_ics: expected structure ≥ 0"),
        (Goat, {"guides": 0}, "goat: expected guides of 1 or more"),
    ],
)
def test_values_out_of_range_are_refused(recipe, values, message: str) -> None:
    with pytest.raises(BenchboxError, match=message):
        recipe(**values)


def test_a_batch_is_ascended_as_by_hand(vanilla: TinyModel) -> None:
    images, start = real_pixels(), real_pixels() + 3 / 255

    def spread(points: Tensor) -> Tensor:
        return torch.pdist(vanilla(points)).sum()

    made = ascend_batch(spread, images, **MEDIUM, start=start)
    alike(made, ball_loop(spread, images, start=start, **MEDIUM))
    assert not made.requires_grad


# --- EST ---


def test_est_is_the_triplet_on_what_sma_moved() -> None:
    recipe = EmbeddingShiftedTriplet(**MEDIUM, mining="hard")
    model = Recorded().train()
    losses = recipe.losses(model, Batch(pixels(), LABELS, seeded(0)))
    (moved,) = model.inputs
    attack, evaluated = SMA(**MEDIUM), TinyModel().eval()
    guides = attack.guides(embedded(evaluated, pixels()), LABELS)
    alike(moved, attack(evaluated, pixels(), guides, generator=seeded(0)))
    features = TinyModel().train().features(moved)
    expected = triplet_loss(features.embedding, LABELS, margin=0.2).item()
    assert {k: v.item() for k, v in losses.items()} == pytest.approx({"triplet": expected})
    weighed = replace(recipe, identity=0.5).losses(
        TinyModel().train(), Batch(pixels(), LABELS, seeded(0))
    )
    expected = 0.5 * identity_loss(features.logits, LABELS).item()
    assert weighed["identity"].item() == pytest.approx(expected, rel=1e-4)


# --- ACT ---


def test_act_pulls_pairs_together_and_parts_them_from_clean_anchors(vanilla: TinyModel) -> None:
    recipe, images = AntiCollapseTriplet(**MEDIUM), real_pixels()
    model = Recorded()
    model.load_state_dict(vanilla.state_dict())
    losses = recipe.losses(model.train(), Batch(images, LABELS, seeded(0)))
    triplets = mine(embedded(vanilla, images), LABELS, "random", generator=seeded(0))
    (seen,) = model.inputs
    clean, positive, negative = seen.chunk(3)
    assert torch.equal(clean, images)
    near = torch.cat([images[triplets.positive], images[triplets.negative]])

    def together(points: Tensor) -> Tensor:
        first, second = vanilla(points).chunk(2)
        return -sum((a - b).norm() for a, b in zip(first, second, strict=True))

    alike(torch.cat([positive, negative]), ball_loop(together, near, start=near, **MEDIUM))
    before = (embedded(vanilla, near[:24]) - embedded(vanilla, near[24:])).norm(dim=1)
    after = (embedded(vanilla, positive) - embedded(vanilla, negative)).norm(dim=1)
    assert (after < before).float().mean() > 0.9

    embedding = trained_copy(vanilla).features(seen).embedding.tolist()
    total = 0.0
    for row in range(24):
        a, p, n = (torch.tensor(embedding[at]) for at in (row, 24 + row, 48 + row))
        total += max(0.0, (a - p).norm().item() - (a - n).norm().item() + 0.2)
    assert losses["triplet"].item() == pytest.approx(total / 24, rel=1e-4)
    assert set(losses) == {"triplet"}


# --- HM + ICS ---


def hm_batch(last: float, images: Tensor | None = None) -> Batch:
    memory = LastLoss()
    memory.loss.fill_(last)
    images = real_pixels() if images is None else images
    return Batch(images, LABELS, seeded(0), companion=memory)


@pytest.mark.parametrize(("last", "target"), [(2.0, -0.2), (0.2, -0.2), (0.05, -0.05), (0.0, 0.0)])
def test_the_target_rises_as_the_loss_falls(last: float, target: float) -> None:
    expected = -0.2 * min(max(last, 0), 0.2) / 0.2
    assert expected == pytest.approx(target)
    assert HardnessManipulation().target(hm_batch(last)).item() == pytest.approx(target)


def test_hm_hardens_triplets_up_to_the_target_and_no_further(vanilla: TinyModel) -> None:
    recipe = HardnessManipulation(**MEDIUM, mining="random")
    images = real_pixels()
    triplets = mine(embedded(vanilla, images), LABELS, "random", generator=seeded(0))
    clean = torch.cat([images[rows] for rows in triplets])
    goal = -0.05

    def hard(points: Tensor) -> Tensor:
        a, p, n = vanilla(points).chunk(3)
        return (a - p).norm(dim=1) - (a - n).norm(dim=1)

    made = recipe.hardened(frozen(vanilla), clean, target=torch.tensor(goal))

    def towards(points: Tensor) -> Tensor:
        return -sum(min(h - goal, 0 * h) ** 2 for h in hard(points))

    alike(made, ball_loop(towards, clean, start=clean, **MEDIUM))
    with torch.no_grad():
        before, after = hard(clean), hard(made)
    easy = before < goal
    assert easy.any()
    assert (after > before)[easy].float().mean() > 0.9
    parts = torch.stack((made - clean).chunk(3)).flatten(2).abs().amax(2)
    assert (parts[:, ~easy] == 0).all(), "a triplet that is hard enough was moved"


def test_hm_ics_is_its_two_terms_and_remembers_the_first(vanilla: TinyModel) -> None:
    recipe, batch = HardnessManipulation(**MEDIUM), hm_batch(0.1)
    model = Recorded()
    model.load_state_dict(vanilla.state_dict())
    losses = recipe.losses(model.train(), batch)
    triplets = mine(embedded(vanilla, batch.images), LABELS, "soft_hard", generator=seeded(0))
    (seen,) = model.inputs
    embedding = trained_copy(vanilla).features(seen).embedding.detach()
    triplet = structure = 0.0
    for row, (anchor, positive) in enumerate(zip(triplets.anchor, triplets.positive, strict=True)):
        clean, fellow = embedding[anchor], embedding[positive]
        a, p, n = (embedding[24 * part + row] for part in (1, 2, 3))
        triplet += max(0.0, ((a - p).norm() - (a - n).norm() + 0.2).item()) / 24
        structure += max(0.0, ((clean - a).norm() - (clean - fellow).norm()).item()) / 24
    assert structure > 0
    expected = {"triplet": triplet, "structure": 0.5 * structure}
    assert {k: v.item() for k, v in losses.items()} == pytest.approx(expected, rel=1e-3)
    assert batch.companion.loss.item() == pytest.approx(triplet, rel=1e-3)
    assert recipe.metrics(batch)["target_hardness"] == pytest.approx(-min(triplet, 0.2), rel=1e-3)


# --- GOAT ---


def test_guides_are_of_the_identity_and_of_the_whole_training_set() -> None:
    labels = torch.tensor([2, 0, 1, 1, 2, 0, 0, 1, 1, 1])
    pool = Pool(TrainingSet(torch.zeros(10, 3, 4, 4, dtype=torch.uint8), labels))
    seen = torch.zeros(10)
    for number in range(400):
        rows = pool.draw(torch.tensor([1, 0, 2]), seeded(number))
        assert labels[rows].tolist() == [1, 0, 2]
        seen[rows] += 1
    for label, images in ((0, 3), (1, 5), (2, 2)):
        assert (seen[labels == label] - 400 / images).abs().max() < 45
    assert pool.state_dict() == {}


def test_goat_is_the_push_and_pull_of_its_drawn_guides(vanilla: TinyModel) -> None:
    recipe = Goat(**MEDIUM, training=PLAIN)
    data, images = made_data(), real_pixels()
    pool = recipe.companion(vanilla, data, seed=0, device=CPU)
    batch = Batch(images, LABELS, seeded(0), companion=pool)
    guides = recipe.drawn(frozen(vanilla), batch)
    everyone = embedded(vanilla, data.images.float() / 255)
    clean = embedded(vanilla, images)
    drawn = set()
    for row in range(24):
        for guide in guides.bank[guides.push[row]]:
            near = (everyone - guide).norm(dim=1)
            assert near.min() < 1e-4
            assert data.labels[near.argmin()] == LABELS[row]
            drawn.add(near.argmin().item())
        others = [j for j in range(24) if j != row]
        far = max(others, key=lambda j, row=row: (clean[row] - clean[j]).norm().item())
        torch.testing.assert_close(guides.bank[guides.pull[row, 0]], clean[far], atol=1e-5, rtol=0)
    assert len(drawn) > 35, "all images of the training set are drawn from, not the batch's alone"

    generator = seeded(0)
    fresh = recipe.drawn(frozen(vanilla), replace(batch, generator=generator))
    noise = [torch.empty(3, 16, 8).uniform_(-1, 1, generator=generator) for _ in images]

    def away(points: Tensor) -> Tensor:
        total = torch.zeros(())
        for row, point in enumerate(vanilla(points)):
            total = total + (fresh.bank[fresh.push[row]] - point).square().sum()
            total = total - (fresh.bank[fresh.pull[row, 0]] - point).square().sum()
        return total

    made = recipe.attacked(vanilla, replace(batch, generator=seeded(0)))
    start = images + MEDIUM["eps"] * torch.stack(noise)
    alike(made, ball_loop(away, images, start=start, **MEDIUM))


@pytest.mark.parametrize(
    ("recipe", "passes"),
    [
        # In forward passes of one batch, of which a training pass is 3 and an attack's step 2.
        (EmbeddingShiftedTriplet(steps=5), 3 + 1 + 5 * 2),
        (AntiCollapseTriplet(steps=5), 3 * 3 + 1 + 2 * 5 * 2),
        (HardnessManipulation(steps=5), 4 * 3 + 1 + 3 * 5 * 2),
        (Goat(steps=5), 3 + 1 + 4 + 5 * 2),
    ],
)
def test_a_step_costs_its_passes(recipe, passes: int) -> None:
    assert recipe.step_cost == pytest.approx(passes / 3)
