"""The universal perturbation as an attack: the same δ on every query, made on training images."""

from dataclasses import replace

import pytest
import torch

from attacks import Knowledge, MetricIFGSM
from attacks.universal import TrainingKnowledge, Universal, perturbed, universal_perturbation
from benchbox.errors import BenchboxError
from benchbox.models.embed import Bound
from tests.made_scenes import CPU, EPS, Scene

ATTACK = Universal(epochs=3, step_size=EPS / 4, batch_size=9)


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene()


def training(scene: Scene, **changes: object) -> TrainingKnowledge:
    known = scene.knowledge
    assert isinstance(known, TrainingKnowledge)
    return replace(known, **changes)


def test_every_query_gets_the_delta_that_is_made_by_hand(scene: Scene) -> None:
    delta = universal_perturbation(
        scene.model,
        MetricIFGSM(),
        scene.gallery,
        scene.gallery_pids,
        eps=EPS,
        epochs=3,
        step_size=EPS / 4,
        batch_size=9,
        generator=torch.Generator().manual_seed(0),
    )
    aim = ATTACK.prepare(training(scene))
    (whole,) = ATTACK.search(scene.embed, scene.images, aim, eps=[EPS])
    assert torch.equal(whole.images, perturbed(scene.images, delta))
    (part,) = ATTACK.search(scene.embed, scene.images[2:5], aim[2:5], eps=[EPS])
    assert torch.equal(part.images, whole.images[2:5])


def test_no_query_is_looked_at_and_another_seed_is_another_delta(scene: Scene) -> None:
    calls = len(scene.calls)
    aim = ATTACK.prepare(training(scene))
    ATTACK.search(scene.embed, scene.images, aim, eps=[EPS])
    assert len(scene.calls) == calls
    other = ATTACK.prepare(training(scene, seed=1))
    assert not torch.equal(aim.delta(EPS), other.delta(EPS))
    assert aim.delta(EPS) is aim.delta(EPS)  # made once, for all batches


def test_images_may_come_as_a_dataset_has_them_and_with_their_cameras(scene: Scene) -> None:
    """As uint8, and bound to ids: each batch of images meets its own."""
    pixels = (scene.gallery * 255).round().to(torch.uint8)
    ids = torch.arange(len(pixels))
    met = []

    def embed(images: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        met.append(torch.equal((images.detach() * 255).round().byte(), pixels[rows]))
        return scene.model(images)

    bound = training(scene, images=pixels, embed=Bound(embed, (ids,)))
    plain = training(scene, images=pixels.float() / 255)
    made = [Universal(epochs=1).prepare(known).delta(EPS) for known in (bound, plain)]
    assert torch.equal(*made)
    assert met[0]  # the clean pass; later ones are moved by δ


def test_what_does_not_fit_is_refused(scene: Scene) -> None:
    with pytest.raises(BenchboxError, match="training images and must be given them"):
        ATTACK.prepare(Knowledge(query=scene.query))
    nan = training(scene, embed=lambda x: scene.model(x) * torch.nan)
    with pytest.raises(BenchboxError, match="finite"):
        ATTACK.prepare(nan).delta(EPS)
    stuck = training(scene, embed=lambda x: scene.model(x).detach())
    with pytest.raises(BenchboxError, match="no gradient"):
        ATTACK.prepare(stuck).delta(EPS)
    for wrong in ({"epochs": -1}, {"batch_size": 0}, {"step_size": 2.0}):
        with pytest.raises(BenchboxError, match="expected"):
            Universal(**wrong)
    assert training(scene).device == CPU
