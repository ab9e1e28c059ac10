"""MI-, DI- and universal attacks: against plain loops, and what they do on a model."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from attacks import FNA, SMA
from attacks.transfer import DIFNA, MIFNA, Diverse, TransferFNA
from attacks.universal import perturbed, universal_perturbation
from benchbox.errors import BenchboxError
from tests.made_scenes import EPS, Scene

BUDGETS = (EPS, EPS / 2)


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene(queries=24)


def fna_slope(scene: Scene, guides, points: Tensor) -> Tensor:
    points = points.detach().requires_grad_()
    return torch.autograd.grad(FNA().objective(scene.model(points), guides).sum(), points)[0]


def test_momentum_equals_mi_fgsms_loop(scene):
    attack = MIFNA(steps=7)
    guides = attack.guides(scene.query.features, scene.pids)
    for eps, found in zip(
        BUDGETS, attack.sweep(scene.model, scene.images, guides, eps=BUDGETS), strict=True
    ):
        point, running = scene.images, torch.zeros_like(scene.images)
        for _ in range(7):
            slope = fna_slope(scene, guides, point)
            for row in range(len(point)):
                running[row] = running[row] + slope[row] / slope[row].abs().sum()
            point = point + attack.step_size * running.sign()
            point = torch.minimum(torch.maximum(point, scene.images - eps), scene.images + eps)
            point = point.clamp(0, 1)
        # Rounding may turn the sign of a running gradient that is zero up to it.
        assert ((found - point).abs() > 1e-6).float().mean() < 0.005
    plain = FNA(steps=7).sweep(scene.model, scene.images, guides, eps=BUDGETS)
    forgetful = TransferFNA.sweep(
        MIFNA(steps=7, decay=0.0), scene.model, scene.images, guides, eps=BUDGETS
    )
    for one, other in zip(plain, forgetful, strict=True):
        assert ((one - other).abs() > 1e-6).float().mean() < 0.005
    assert ((plain[0] - found).abs() > 1e-6).float().mean() > 0.05


def test_diverse_inputs_are_the_image_shrunk_on_black():
    seen: list[Tensor] = []

    def embed(images: Tensor) -> Tensor:
        seen.append(images)
        return images.flatten(1)

    images = torch.rand(300, 3, 20, 10) + 0.1
    Diverse(embed, range(300), chance=0.5, least=0.6)(images)
    changed = [row for row in range(300) if not torch.equal(seen[0][row], images[row])]
    assert 110 < len(changed) < 190
    heights, tops = set(), set()
    for row in changed:
        rows, columns = seen[0][row, 0].nonzero().unbind(1)
        height, width = (int(place.max() - place.min()) + 1 for place in (rows, columns))
        inner = F.interpolate(images[row][None], (height, width), mode="bilinear")[0]
        top, left = int(rows.min()), int(columns.min())
        shown = seen[0][row][:, top : top + height, left : left + width]
        torch.testing.assert_close(shown, inner)
        heights.add(height)
        tops.add(top)
    assert heights >= set(range(13, 20))
    assert min(heights) == 12
    assert {0, 3} <= tops


@pytest.mark.parametrize("kind", [MIFNA, DIFNA])
def test_they_do_damage_and_the_batch_does_not_matter(scene, kind):
    attack = kind(eps=EPS)
    guides = attack.guides(scene.query.features, scene.pids)

    def seeded(rows):
        return [torch.Generator().manual_seed(row) for row in rows]

    whole = attack(scene.model, scene.images, guides, generator=seeded(range(24)))
    assert (whole - scene.images).abs().max() <= EPS + 1e-6
    assert scene.retrieval(whole).mAP < 0.9 * scene.retrieval(scene.images).mAP
    rows = list(range(5, 17))
    part = attack(scene.model, scene.images[rows], guides[rows], generator=seeded(rows))
    assert ((part - whole[rows]).abs() > 1e-6).float().mean() < 0.005
    with pytest.raises(BenchboxError, match=f"{kind.name}: expected decay"):
        kind(diversity=1.5)


def test_one_perturbation_lowers_map_of_queries_it_was_not_made_on(scene):
    made_on = Scene(queries=60)
    training = made_on.images[24:]
    delta = universal_perturbation(
        scene.model, SMA(), training, made_on.pids[24:], eps=2 * EPS, epochs=10,
        step_size=EPS / 5, batch_size=9, generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    assert delta.shape == training.shape[1:]
    assert delta.abs().max() <= 2 * EPS
    noise = 2 * EPS * (2 * torch.rand(delta.shape, generator=torch.Generator().manual_seed(1)) - 1)
    moved, shaken = (
        (scene.model(perturbed(scene.images, one)) - scene.query.features).norm(dim=1).mean()
        for one in (delta, noise)
    )
    assert moved > 2 * shaken
    attacked = scene.retrieval(perturbed(scene.images, delta))
    assert attacked.mAP < scene.retrieval(perturbed(scene.images, noise)).mAP


def test_a_universal_step_is_the_sign_of_the_summed_gradient(scene):
    """One batch and one step, against autograd in δ itself."""
    attack = FNA()
    seed = lambda: torch.Generator().manual_seed(4)  # noqa: E731
    options = {"eps": 0.1, "step_size": 0.01, "batch_size": 24}
    start = universal_perturbation(
        scene.model, attack, scene.images, scene.pids, epochs=0, generator=seed(), **options
    )
    found = universal_perturbation(
        scene.model, attack, scene.images, scene.pids, epochs=1, generator=seed(), **options
    )
    assert start.abs().max() <= 0.1
    guides = attack.guides(scene.query.features, scene.pids)
    points = perturbed(scene.images, start)
    slope = fna_slope(scene, guides, points).sum(0)
    expected = (start + 0.01 * slope.sign()).clamp(-0.1, 0.1)
    assert ((found - expected).abs() > 1e-6).float().mean() < 0.01
    with pytest.raises(BenchboxError, match="as many pids"):
        universal_perturbation(
            scene.model, attack, scene.images, scene.pids[:3], epochs=1, generator=seed(), **options
        )
