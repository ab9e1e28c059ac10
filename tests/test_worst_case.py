"""The worst case: below its parts, the same whatever the batch, by the evaluator's own AP."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from attacks import FNA, Knowledge, Labelled
from attacks.chance import chance_ap, least_ap
from attacks.climb import Climb
from attacks.smooth_ap import SmoothAP
from attacks.start import seeds_of
from attacks.tiers import PARTS
from attacks.worst_case import WorstCase
from benchbox.errors import BenchboxError
from benchbox.training.seeding import seeded
from tests.made_scenes import EPS, Scene


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene()


@pytest.fixture(scope="module")
def worst(scene: Scene) -> Any:
    return scene.search(WorstCase(tier="full"))


def test_it_lowers_ap_and_says_which_part_did(scene: Scene, worst: Any) -> None:
    images, deepest, part = worst
    clean, attacked = scene.retrieval(scene.images), scene.retrieval(images)
    assert attacked.mAP < 0.6 * clean.mAP
    valid = ~np.isnan(clean.ap)
    assert (attacked.ap[valid] <= clean.ap[valid]).all()
    deep = scene.retrieval(deepest).first_hit
    assert (deep >= attacked.first_hit).all()
    assert (deep >= clean.first_hit).all()
    for points in (images, deepest):
        assert (points - scene.images).abs().max() <= EPS + 1e-6
        assert points.min() >= 0
        assert points.max() <= 1
    assert part.min() >= 0
    assert part.max() < len(WorstCase(tier="full").parts)
    assert not images.requires_grad


def test_a_query_without_a_match_is_left_alone(scene: Scene, worst: Any) -> None:
    assert torch.equal(worst[0][3], scene.images[3])


@pytest.mark.parametrize("tier", ["fast", "full"])
def test_the_batch_does_not_change_a_pixel(scene: Scene, tier: Any) -> None:
    """Kernels give the same for 8 rows and more, and smaller batches are filled up to 8."""
    whole = scene.search(WorstCase(tier=tier))
    for batch in (1, 4, 7):
        for one, other in zip(whole, scene.search(WorstCase(tier=tier), batch=batch), strict=True):
            assert torch.equal(one, other)


def test_full_is_never_above_fast_and_neither_above_any_point_they_met(scene: Scene) -> None:
    seen: list[tuple[Tensor, Tensor, Tensor]] = []
    scorer = scene.knowledge.score

    def remembered(embeddings: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        assert scorer is not None
        ap, first_hit = scorer(embeddings, rows)
        seen.append((rows, ap, first_hit))
        return ap, first_hit

    knowledge = dataclasses.replace(scene.knowledge, score=remembered)
    found = {}
    for tier in ("fast", "full"):
        seen.clear()
        images, deepest, _ = scene.search(WorstCase(tier=tier), knowledge=knowledge)
        found[tier], deep = scene.retrieval(images).ap, scene.retrieval(deepest).first_hit
        rows, ap, hits = (torch.cat(parts) for parts in zip(*seen, strict=True))
        for query in range(len(scene.images)):
            if query == 3:
                assert not (rows == query).any()
                continue
            assert found[tier][query] == pytest.approx(ap[rows == query].min().item(), abs=1e-12)
            assert deep[query] == hits[rows == query].max()
    valid = ~np.isnan(found["fast"])
    assert (found["full"][valid] <= found["fast"][valid]).all()


def test_it_beats_the_attacks_of_the_literature(scene: Scene, worst: Any) -> None:
    fna = FNA(eps=EPS)
    guides = fna.guides(scene.query.features, scene.pids)
    assert (
        scene.retrieval(worst[0]).mAP < scene.retrieval(fna(scene.model, scene.images, guides)).mAP
    )


def test_finished_queries_leave_the_batch(scene: Scene) -> None:
    scene.calls.clear()
    scene.search(WorstCase(tier="full"), eps=60 / 255)
    full = sum(part.steps + 1 for part in PARTS["full"])
    assert sum(scene.calls) < 0.8 * full * len(scene.images)
    assert min(scene.calls) >= 8


def test_a_zero_budget_is_the_identity(scene: Scene) -> None:
    scene.calls.clear()
    images, deepest, _ = scene.search(WorstCase(), eps=0)
    assert torch.equal(images, scene.images)
    assert torch.equal(deepest, scene.images)
    assert not scene.calls


def test_it_must_know_the_gallery(scene: Scene) -> None:
    for known in (
        Knowledge(query=scene.query),
        Knowledge(query=scene.query, gallery=scene.known_gallery),
    ):
        with pytest.raises(BenchboxError, match="worst_case: it must know the gallery"):
            WorstCase().prepare(known)
    with pytest.raises(
        BenchboxError, match=r"^tier: expected one of fast, full, longer, got 'slow'"
    ):
        WorstCase(tier="slow")  # type: ignore[arg-type]


# --- Another precision, randomised guards. ------------------------------------------------------


def test_what_was_climbed_in_another_precision_counts_by_the_exact_model(scene: Scene) -> None:
    """Climbed on a model that is off, every nominated point is embedded again by the true one."""
    off = lambda images: scene.model(images) + 0.3 * scene.model(images.flip(3))  # noqa: E731
    images, _, _ = scene.search(WorstCase(), exact=scene.model)
    direct, _, _ = scene.search(WorstCase())
    assert torch.equal(images, direct)  # the same model twice: looking again changes nothing
    attack = WorstCase()
    aim = attack.prepare(scene.knowledge)
    (found,) = attack.search(off, scene.images, aim, eps=[EPS], exact=scene.model)
    attacked, clean = scene.retrieval(found.images), scene.retrieval(scene.images)
    valid = ~np.isnan(clean.ap)
    assert attacked.mAP < clean.mAP
    assert (attacked.ap[valid] <= clean.ap[valid]).all()


def test_gradients_are_averaged_over_the_draws_of_a_randomised_guard() -> None:
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(24, 5, generator=generator, dtype=torch.float64)
    shifts = torch.randn(3, 8, 24, generator=generator, dtype=torch.float64)
    images = torch.rand(8, 2, 3, 4, generator=generator, dtype=torch.float64)
    calls = iter(range(3))

    def embed(points: Tensor) -> Tensor:
        return torch.tanh((points.flatten(1) + shifts[next(calls)]) @ weights)

    class Sum:
        def __call__(self, embeddings: Tensor) -> tuple[Tensor, Tensor]:
            return embeddings.sum(1), torch.ones_like(embeddings)

        def __getitem__(self, rows: Tensor) -> "Sum":
            return self

    values, gradients = Climb(embed, Sum(), draws=3)(images, torch.arange(8))
    leaf = images.clone().requires_grad_()
    each = [torch.tanh((leaf.flatten(1) + shift) @ weights).sum(1) for shift in shifts]
    expected = torch.stack(each).mean(0)
    torch.testing.assert_close(values, expected.detach())
    torch.testing.assert_close(gradients, torch.autograd.grad(expected.sum(), leaf)[0])


def test_a_randomised_guard_is_ranked_on_another_draw(scene: Scene) -> None:
    """Without a gradient: the clean images; of each part the last point, and its nominees again."""
    shaken = torch.Generator().manual_seed(0)
    kinds: list[bool] = []

    def embed(images: Tensor) -> Tensor:
        kinds.append(images.requires_grad)
        noise = 0.02 * torch.randn(images.shape, generator=shaken)
        return scene.model((images + noise).clamp(0, 1))

    attack = WorstCase(tier="fast")
    aim = attack.prepare(dataclasses.replace(scene.knowledge, draws=4))
    (found,) = attack.search(embed, scene.images, aim, eps=[EPS])
    assert kinds.count(False) == 1 + (4 + 2) * len(attack.parts)
    assert kinds.count(True) % 4 == 0
    assert scene.retrieval(found.images).mAP < scene.retrieval(scene.images).mAP


# --- The query set as a stand-in. ---------------------------------------------------------------


def test_smooth_ap_knows_the_query_set_alone_and_does_damage() -> None:
    scene = Scene(queries=40)
    attack = SmoothAP()
    assert attack.threat == "query"
    images, _, _ = scene.search(attack, knowledge=Knowledge(query=scene.query))
    assert (images - scene.images).abs().max() <= EPS + 1e-6
    assert scene.retrieval(images).mAP < 0.75 * scene.retrieval(scene.images).mAP
    with_gallery, _, _ = scene.search(attack)
    assert torch.equal(images, with_gallery)


def test_smooth_ap_leaves_out_the_own_image_and_its_camera() -> None:
    features = torch.nn.functional.normalize(torch.randn(5, 4))
    query = Labelled(features, torch.tensor([1, 1, 1, 2, 3]), torch.tensor([1, 2, 1, 1, 1]))
    aim = SmoothAP().prepare(Knowledge(query=query))
    assert aim.ranking.right.nonzero().tolist() == [[0, 1], [1, 0], [1, 2], [2, 1], [3, 3], [4, 4]]
    assert aim.ranking.wrong.sum(1).tolist() == [2, 2, 2, 4, 4]
    assert aim.lone.tolist() == [False, False, False, True, True]


def test_smooth_ap_starts_lone_queries_at_random() -> None:
    scene = Scene()
    attack = SmoothAP(steps=0)
    images, _, _ = scene.search(attack, knowledge=Knowledge(query=scene.query))
    moved = (images - scene.images).flatten(1).abs().amax(1) > 0
    lone = attack.prepare(Knowledge(query=scene.query)).lone
    assert lone[3]
    assert torch.equal(moved, lone)


# --- Chance. ------------------------------------------------------------------------------------


def test_chance_and_least_ap_against_random_rankings_and_the_last_ranks() -> None:
    generator = np.random.default_rng(0)
    for matches, images in ((1, 7), (3, 9), (5, 40)):
        given = torch.tensor([matches]), torch.tensor([images])
        hit = np.arange(1, matches + 1)
        least = (hit / (images - matches + hit)).mean()
        assert least_ap(*given).item() == pytest.approx(least, abs=1e-12)
        draws = [
            (hit / np.sort(generator.choice(images, matches, replace=False) + 1)).mean()
            for _ in range(20_000)
        ]
        error = np.std(draws) / np.sqrt(len(draws))
        assert abs(chance_ap(*given).item() - np.mean(draws)) < 4 * error


def test_seeds_are_one_per_image_and_not_the_batchs() -> None:
    whole = seeds_of([seeded(row) for row in range(5)], 5)
    assert len(set(whole)) == 5
    assert seeds_of([seeded(3), seeded(1)], 2) == [whole[3], whole[1]]
    assert seeds_of(None, 3) == seeds_of(torch.Generator().manual_seed(0), 3)
    with pytest.raises(BenchboxError, match=r"one per image \(3\), got 2"):
        seeds_of([seeded(0), seeded(1)], 3)
