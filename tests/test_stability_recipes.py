"""TRADES, FARE and grey patches, each against a plain loop over its published equation."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from benchbox.errors import BenchboxError
from benchbox.models.given import Given
from benchbox.models.given_model import GivenModel
from benchbox.training.loop import train
from benchbox.training.recipe import Batch
from benchbox.training.seeding import seeded
from defenses import AdvTrain, Fare, Lgpr, LgprAdversarial, Trades, Vanilla
from defenses.lgpr import GreyPatch
from tests.test_adversarial_recipes import LABELS, MEDIUM, hand_pair, real_pixels, trained_copy
from tests.test_ranking_recipes import alike, ball_loop, embedded, vanilla  # noqa: F401
from tests.test_training import CPU, SHORT, Recorded, TinyModel, made_data


def recorded(model: TinyModel) -> Recorded:
    copy = Recorded()
    copy.load_state_dict(model.state_dict())
    return copy.train()


def noise_of(draw, generator: torch.Generator) -> Tensor:
    return torch.stack([draw(torch.empty(3, 16, 8), generator) for _ in range(24)])


# --- TRADES ---


def test_trades_holds_attacked_embeddings_by_beta(vanilla: TinyModel) -> None:  # noqa: F811
    images, model = real_pixels(), recorded(vanilla)
    losses = Trades(**MEDIUM, beta=3.0).losses(model, Batch(images, LABELS, seeded(0)))
    (seen,) = model.inputs
    assert torch.equal(seen[:24], images)
    clean = embedded(vanilla, images)

    def shift(points: Tensor) -> Tensor:
        embeddings = vanilla(points)
        pairs = zip(embeddings, clean, strict=True)
        return sum(1 - (a @ b) / (a.norm() * b.norm()) for a, b in pairs)

    start = images + 0.001 * torch.randn(24, 3, 16, 8, generator=seeded(0))
    alike(seen[24:], ball_loop(shift, images, start=start, **MEDIUM))

    features = trained_copy(vanilla).features(seen)
    first = type(features)(*(part[:24] for part in features))
    expected = hand_pair(first, LABELS)
    cosines = [
        (a @ b / (a.norm() * b.norm())).item()
        for a, b in zip(features.embedding[:24], features.embedding[24:], strict=True)
    ]
    expected["stability"] = 3.0 * (1 - sum(cosines) / 24)
    assert expected["stability"] > 0.01
    assert {k: v.item() for k, v in losses.items()} == pytest.approx(expected, rel=1e-3)


def test_trades_rows_are_told_apart() -> None:
    assert [Trades().title, Trades(beta=1.0).title] == ["trades (β 6)", "trades (β 1)"]
    with pytest.raises(BenchboxError, match="beta ≥ 0"):
        Trades(beta=-1.0)


# --- FARE ---


def test_fare_holds_attacked_images_where_the_original_had_them(
    vanilla: TinyModel,  # noqa: F811
) -> None:
    recipe, images = Fare(**MEDIUM, momentum=0.5), real_pixels()
    original = recipe.companion(vanilla, made_data(), seed=0, device=CPU)
    model = recorded(vanilla)
    with torch.no_grad():
        model.trunk[0].weight.add_(0.05 * torch.randn(model.trunk[0].weight.shape))
    evaluated = trained_copy(model).eval()
    labels = torch.full((24,), -7)  # that none is used
    batch = Batch(images, labels, seeded(0), companion=original)
    loss = recipe.losses(model, batch)["shift"]
    (seen,) = model.inputs
    held = embedded(vanilla, images)

    noise = noise_of(lambda one, g: one.uniform_(-1, 1, generator=g), seeded(0))
    points, velocity = images + MEDIUM["eps"] * noise, torch.zeros_like(images)
    for _ in range(MEDIUM["steps"]):
        points = points.clamp(images - MEDIUM["eps"], images + MEDIUM["eps"]).clamp(0, 1)
        points.requires_grad_()
        away = (evaluated(points) - held).square().sum()
        (gradient,) = torch.autograd.grad(away, points)
        velocity = (0.5 * velocity + gradient.sign()).sign()
        points = (points + MEDIUM["step_size"] * velocity).detach()
    alike(seen, points.clamp(images - MEDIUM["eps"], images + MEDIUM["eps"]).clamp(0, 1))
    found = trained_copy(model).features(seen).embedding
    assert loss.item() == pytest.approx((found - held).square().sum().item() / 24, rel=1e-3)
    reached = (recipe.attacked(model, replace(batch, generator=seeded(0))) - images).abs().max()
    assert reached.item() == pytest.approx(MEDIUM["eps"], abs=1e-6)


def test_fare_starts_from_the_vanilla_weights_and_keeps_them(tmp_path: Path) -> None:
    recipe = Fare(eps=8 / 255, steps=2, training=replace(SHORT, epochs=2, lr=1e-3))
    assert recipe.start == "vanilla"
    model = TinyModel()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    train(recipe, model, made_data(), seed=0, folder=tmp_path, device=CPU)
    kept = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["companion"]
    assert all(torch.equal(kept[name], value) for name, value in before.items())
    assert not torch.equal(model.trunk[0].weight, before["trunk.0.weight"])


def test_fare_hardens_a_model_that_was_given(tmp_path: Path) -> None:
    """It has no classifier, no neck, and pixels from 0 to 255; training moves it."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        owner = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2), nn.ReLU(), nn.Flatten())
    given = GivenModel(owner, Given(builder=nn.Identity, pixel_range="0-255", unit_length=True))
    recipe = Fare(eps=8 / 255, steps=3, training=replace(SHORT, epochs=12, lr=1e-3))
    original = recipe.companion(given, made_data(), seed=0, device=CPU)  # type: ignore[arg-type]

    def shift() -> float:
        batch = Batch(real_pixels(), LABELS, seeded(0), companion=original)
        return recipe.losses(given, batch)["shift"].item()  # type: ignore[arg-type]

    before = shift()
    train(recipe, given, made_data(), seed=0, folder=tmp_path, device=CPU)  # type: ignore[arg-type]
    assert shift() < 0.95 * before


# --- Grey patches ---


def test_a_grey_patch_is_a_rectangle_of_pillows_grey() -> None:
    levels = torch.randint(256, (40, 3, 32, 16), generator=seeded("levels"))
    images = levels.float() / 255
    made = GreyPatch(probability=1.0)(images, seeded(0))
    for image, before, after in zip(levels, images, made, strict=True):
        pixels = image.permute(1, 2, 0).byte().numpy()
        grey = torch.from_numpy(np.array(Image.fromarray(pixels).convert("L"))) / 255
        changed = (after != before).any(0)
        rows, columns = changed.any(1).nonzero().flatten(), changed.any(0).nonzero().flatten()
        box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        # Pillow rounds to 8 bits; every pixel of the box has its grey, and none outside.
        assert (after[:, *box] - grey[box]).abs().max() <= 0.51 / 255 + 1e-6
        outside = torch.ones_like(changed)
        outside[box] = False
        assert torch.equal(after[:, outside], before[:, outside])


def test_the_patches_are_of_the_papers_sizes() -> None:
    patch = GreyPatch()
    inside = patch.patches(4000, torch.Size((64, 32)), seeded("many"))
    some = inside.flatten(1).any(1)
    assert some.float().mean().item() == pytest.approx(0.2, abs=0.03)
    tall = inside[some].any(2).sum(1).float()
    wide = inside[some].any(1).sum(1).float()
    shares, ratios = tall * wide / (64 * 32), tall / wide
    # Sides are whole pixels: rounding moves a side by half of one, so the shares' bounds by 5 %.
    assert shares.min() > 0.02 * 0.85
    assert 0.38 < shares.max() < 0.4 * 1.05
    assert shares.mean().item() == pytest.approx(0.2, abs=0.03)
    assert ratios.min() > 0.25
    assert ratios.max() < 3.8
    assert inside[some].float().mean(0).min() > 0, "a place that is never grey"


def test_lgpr_trains_on_patched_images_and_attacks_them_where_asked() -> None:
    images, patch = real_pixels(), GreyPatch(probability=0.7)
    grey = patch(images, seeded(0))
    assert not torch.equal(grey, images)
    model = Recorded().train()
    losses = Lgpr(patch=patch).losses(model, Batch(images, LABELS, seeded(0)))
    assert torch.equal(model.inputs[0], grey)
    plain = Vanilla().losses(TinyModel().train(), Batch(grey, LABELS, seeded(0)))
    assert {k: v.item() for k, v in losses.items()} == {k: v.item() for k, v in plain.items()}
    model = Recorded().train()
    recipe = LgprAdversarial(**MEDIUM, patch=patch)
    losses = recipe.losses(model, Batch(images, LABELS, seeded(0)))
    expected = AdvTrain(**MEDIUM).losses(TinyModel().train(), Batch(grey, LABELS, seeded(0)))
    assert {k: v.item() for k, v in losses.items()} == {k: v.item() for k, v in expected.items()}
    assert 0 < (model.inputs[0] - grey).abs().max() <= MEDIUM["eps"] + 1e-6


@pytest.mark.parametrize(
    "values", [{"probability": 1.5}, {"least": 0.5, "most": 0.4}, {"aspect": 0.0}]
)
def test_patches_out_of_range_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(BenchboxError, match="lgpr: expected probability"):
        GreyPatch(**values)


@pytest.mark.parametrize(
    ("recipe", "passes"),
    [
        (Trades(steps=5), 2 * 3 + 1 + 5 * 2),
        (Fare(steps=5), 3 + 1 + 5 * 2),
        (Lgpr(), 3),
        (LgprAdversarial(steps=5), 3 + 1 + 5 * 2),
    ],
)
def test_a_step_costs_its_passes(recipe, passes: int) -> None:
    assert recipe.step_cost == pytest.approx(passes / 3)
