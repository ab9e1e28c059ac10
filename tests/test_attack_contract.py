"""The contract of every attack beyond the literature's, held on one scene."""

import dataclasses
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor

from attacks import ATTACKS, FNA, FURTHER_ATTACKS, Attack, Found, Guides, Knowledge, make_attack
from benchbox.errors import BenchboxError
from benchbox.evaluation.attacking import attack_queries
from tests.made_scenes import EPS, Scene

NAMES = sorted(FURTHER_ATTACKS)
QUICK: dict[str, Any] = {"steps": 5, "step_size": 0.02, "tries": 5}


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene()


def made(name: str) -> Any:
    return make_attack(FURTHER_ATTACKS[name], QUICK)


def attacked(scene: Scene, attack: Any) -> Tensor:
    return scene.gallery if attack.threat == "gallery" else scene.images


def search(scene: Scene, attack: Any, *, eps: list[float], seed: int = 0) -> list[Found]:
    images = attacked(scene, attack)
    generators = [torch.Generator().manual_seed(1000 * seed + row) for row in range(len(images))]
    aim = attack.prepare(scene.knowledge)
    assert len(aim) == len(images)
    found: list[Found] = attack.search(scene.embed, images, aim, eps=eps, generator=generators)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_results_stay_in_the_ball_and_the_range_and_repeat(scene: Scene, name: str) -> None:
    attack = made(name)
    budgets = [EPS, 0.0, 0.3]
    found = search(scene, attack, eps=budgets)
    images = attacked(scene, attack)
    for eps, one in zip(budgets, found, strict=True):
        for points in (one.images, one.deepest):
            assert points.shape == images.shape
            assert points.dtype == images.dtype
            assert not points.requires_grad
            assert (points - images).abs().max() <= eps + 1e-6
            assert points.min() >= 0
            assert points.max() <= 1
        assert one.part.shape == images.shape[:1]
        assert int(one.part.max()) < len(attack.parts)
    assert torch.equal(found[1].images, images)
    assert (found[0].images - images).abs().max() > 0.9 * EPS
    for one, again in zip(found, search(scene, attack, eps=budgets), strict=True):
        assert torch.equal(one.images, again.images)


@pytest.mark.parametrize("name", NAMES)
def test_a_budget_alone_gives_what_it_gives_among_others(scene: Scene, name: str) -> None:
    together = search(scene, made(name), eps=[EPS, 0.1])
    for eps, found in zip([EPS, 0.1], together, strict=True):
        (alone,) = search(scene, made(name), eps=[eps])
        assert torch.equal(alone.images, found.images)


@pytest.mark.parametrize("name", NAMES)
def test_the_model_is_left_as_it_was(name: str) -> None:
    scene = Scene()
    scene.model.train()
    scene.model.eval()
    flags = [parameter.requires_grad for parameter in scene.model.parameters()]
    weights = {key: value.clone() for key, value in scene.model.state_dict().items()}
    state = torch.random.get_rng_state()
    with torch.inference_mode():
        search(scene, made(name), eps=[EPS])
    assert torch.equal(state, torch.random.get_rng_state())
    assert not scene.model.training
    assert all(parameter.grad is None for parameter in scene.model.parameters())
    assert [parameter.requires_grad for parameter in scene.model.parameters()] == flags
    assert all(torch.equal(value, weights[key]) for key, value in scene.model.state_dict().items())


@pytest.mark.parametrize("name", NAMES)
def test_the_evaluator_takes_it(scene: Scene, name: str) -> None:
    attack = made(name)
    images = (attacked(scene, attack) * 255).round().to(torch.uint8)
    (result,) = attack_queries(
        scene.model,
        attack,
        images,
        attack.prepare(scene.knowledge),
        budgets=[EPS],
        generators=[torch.Generator().manual_seed(row) for row in range(len(images))],
        batch_size=9,
        device=torch.device("cpu"),
        keep=range(len(images)),
    )
    torch.testing.assert_close(scene.model(result.images), result.features)
    assert result.deepest.shape == result.features.shape
    assert result.part.shape == (len(images),)


@pytest.mark.parametrize("name", NAMES)
def test_bad_budgets_images_and_embeddings_are_refused(scene: Scene, name: str) -> None:
    attack = made(name)
    images, aim = attacked(scene, attack), attack.prepare(scene.knowledge)
    with pytest.raises(BenchboxError, match=r"^eps: "):
        type(attack)(eps=8)
    with pytest.raises(BenchboxError, match=r"^eps: "):
        attack.search(scene.model, images, aim, eps=[float("nan")])
    with pytest.raises(BenchboxError, match="outside"):
        attack.search(scene.model, images * 2, aim, eps=[EPS])
    with pytest.raises(BenchboxError, match="for 3 images"):
        attack.search(scene.model, images[:3], aim, eps=[EPS])
    with pytest.raises(BenchboxError, match="one per image"):
        attack.search(scene.model, images, aim, eps=[EPS], generator=[torch.Generator()])
    if name == "universal":  # made before a query is seen: see test_universal_attack.py
        return
    with pytest.raises(BenchboxError, match="finite"):
        attack.search(lambda x: scene.model(x) * torch.nan, images, aim, eps=[EPS])
    if name != "square":
        with pytest.raises(BenchboxError, match="no gradient"):
            attack.search(lambda x: scene.model(x).detach(), images, aim, eps=[EPS])


@pytest.mark.parametrize("name", NAMES)
def test_it_is_a_record_with_a_name_of_its_own(name: str) -> None:
    attack = made(name)
    assert attack.name == name
    assert name not in ATTACKS
    assert attack.title
    assert pickle.loads(pickle.dumps(attack)) == attack
    assert dataclasses.asdict(attack)["eps"] == 8 / 255


def test_an_attack_of_the_query_model_looks_at_the_query_set_alone(scene: Scene) -> None:
    for name in NAMES:
        attack = made(name)
        if name == "universal":
            with pytest.raises(BenchboxError, match="training images"):
                attack.prepare(Knowledge(query=scene.query))
        elif attack.threat == "query":
            attack.prepare(Knowledge(query=scene.query))
        else:
            with pytest.raises(BenchboxError, match="gallery"):
                attack.prepare(Knowledge(query=scene.query))


def test_a_grids_settings_reach_the_attacks_that_have_them() -> None:
    settings = {"eps": 0.02, "steps": 7, "step_size": 0.01, "own": "exclude", "tier": "full"}
    for kind in (*ATTACKS.values(), *FURTHER_ATTACKS.values()):
        attack = make_attack(kind, settings)
        values = dataclasses.asdict(attack)
        assert values["eps"] == 0.02
        assert {name: values[name] for name in settings if name in values} == {
            name: value for name, value in settings.items() if name in values
        }
    assert make_attack(FURTHER_ATTACKS["worst_case"], settings).parts[0] == "smooth_ap"


def test_an_attack_by_guides_is_subclassed_under_its_old_name(scene: Scene) -> None:
    """What a plugin of before the threat models had names looks like."""

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Inwards(Attack):
        name = "inwards"
        title = "Inwards"

        def guides(self, query_features: Any, query_pids: Any) -> Guides:
            return FNA().guides(query_features, query_pids)

    attack = Inwards(steps=3)
    assert attack.threat == "query"
    guides = attack.guides(scene.query.features, scene.pids)
    called = attack(scene.model, scene.images, guides)
    (found,) = search(scene, attack, eps=[attack.eps])
    assert torch.equal(found.images, called)
    assert found.deepest is found.images
    assert attack.parts == ("inwards",)
