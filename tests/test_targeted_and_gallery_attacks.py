"""Impersonating a chosen identity, hiding in the gallery, promoting: by hand and on a model."""

import numpy as np
import pytest
import torch
from torch import Tensor

from attacks import Knowledge, Labelled
from attacks.gallery import Hiding, Promoting
from attacks.targeted import Impersonation, towards_chosen
from benchbox.errors import BenchboxError
from benchbox.evaluation.retrieval import evaluate_retrieval
from tests.made_scenes import EPS, Scene


def labelled(points: list[list[float]], pids: list[int], camids: list[int]) -> Labelled:
    return Labelled(torch.tensor(points), torch.tensor(pids), torch.tensor(camids))


QUERY = labelled([[0.0, 0.0], [4.0, 0.0]], [1, 2], [1, 1])
GALLERY = labelled(
    [[0.5, 0.0], [4.5, 0.0], [9.0, 9.0], [7.0, 0.0], [-1.0, 0.0]], [1, 2, 0, 3, 1], [2, 2, 2, 2, 1]
)


def pixels_to_points(images: Tensor) -> Tensor:
    """Two pixels are two coordinates, ten to the unit."""
    return images.flatten(1)[:, :2] * 10


def as_images(points: Tensor) -> Tensor:
    images = torch.full((len(points), 3, 1, 2), 0.5)
    images[:, 0, 0] = points / 10
    return images


def test_the_farthest_identity_is_chosen_and_distractors_are_nobody():
    chosen = towards_chosen(QUERY, GALLERY)
    assert chosen.pids.tolist() == [3, 1]  # 1's images lie 3.5 and 5 from query 2, 3's lies 3
    assert (chosen.camids == -1).all()
    with pytest.raises(BenchboxError, match="no identity but the query's own"):
        towards_chosen(QUERY, labelled([[0.0, 1.0], [1.0, 1.0]], [1, 0], [1, 1]))


def test_impersonation_by_hand_goes_straight_to_the_chosen_identity():
    """One coordinate of 0.1 to go: the query (4, 0) is sent to identity 1 at (0.5, 0)."""
    query = labelled([[3.0, 0.0], [4.0, 0.0]], [1, 2], [1, 1])
    attack = Impersonation(steps=20, temperature=0.3)
    aim = attack.prepare(Knowledge(query=query, gallery=GALLERY))
    assert aim.ranking.right.tolist() == [
        [False, False, False, True, False],
        [True, False, False, False, True],
    ]
    (found,) = attack.search(pixels_to_points, as_images(query.features), aim, eps=[0.2])
    moved = pixels_to_points(found.images) - query.features
    np.testing.assert_allclose(moved[0, 0], 2.0, atol=0.4)  # at or next to the ball's edge
    assert moved[1, 0] < -1.5


def test_impersonation_makes_queries_retrieve_the_chosen_identity():
    scene = Scene(queries=30)
    attack = Impersonation(steps=40)
    images, _, _ = scene.search(attack)
    chosen = towards_chosen(scene.query, scene.known_gallery)

    def towards(pictures: Tensor):
        with torch.no_grad():
            features = scene.model(pictures)
        return evaluate_retrieval(
            features, scene.known_gallery.features, chosen.pids, scene.gallery_pids,
            chosen.camids, scene.gallery_camids,
        )  # fmt: skip

    assert (images - scene.images).abs().max() <= EPS + 1e-6
    assert towards(images).mAP > 1.5 * towards(scene.images).mAP
    with pytest.raises(BenchboxError, match="must know the gallery"):
        attack.prepare(Knowledge(query=scene.query))


def test_hiding_by_hand_moves_away_from_the_queries_of_the_identity():
    known = Knowledge(query=QUERY, gallery=GALLERY)
    attack = Hiding(steps=10)
    aim = attack.prepare(known)
    assert aim.lone.tolist() == [False, False, True, True, True]  # the last: same camera
    (found,) = attack.search(
        pixels_to_points, as_images(GALLERY.features.clamp(min=0)), aim, eps=[0.05]
    )
    moved = pixels_to_points(found.images) - GALLERY.features
    np.testing.assert_allclose(moved[:2, 0], [0.5, 0.5], atol=1e-5)
    # Whom no query should find has nobody to hide from, and stays where it is.
    assert torch.equal(found.images[2:], as_images(GALLERY.features.clamp(min=0))[2:])


def test_promoting_by_hand_moves_towards_the_chosen_identitys_queries():
    known = Knowledge(query=QUERY, gallery=GALLERY)
    attack = Promoting(steps=10)
    aim = attack.prepare(known)
    # Who shows neither query's identity is promoted to the farther one.
    assert aim.ranking.right.tolist() == [
        [False, True], [True, False], [True, False], [True, False], [False, True],
    ]  # fmt: skip
    start = GALLERY.features.clamp(min=0)
    (found,) = attack.search(pixels_to_points, as_images(start), aim, eps=[0.05])
    moved = pixels_to_points(found.images) - start
    np.testing.assert_allclose(moved[:4, 0], [0.5, -0.5, -0.5, -0.5], atol=1e-5)


@pytest.mark.parametrize("attack", [Hiding(steps=20), Promoting(steps=20)], ids=lambda a: a.name)
def test_a_gallery_attack_lowers_map_with_clean_queries(attack):
    scene = Scene(queries=30)
    aim = attack.prepare(scene.knowledge)
    assert attack.threat == "gallery"
    (found,) = attack.search(scene.embed, scene.gallery, aim, eps=[EPS])
    assert (found.images - scene.gallery).abs().max() <= EPS + 1e-6
    with torch.no_grad():
        features = scene.model(found.images)

    def against(gallery: Tensor) -> float:
        return evaluate_retrieval(
            scene.query.features, gallery, scene.pids, scene.gallery_pids,
            scene.camids, scene.gallery_camids,
        ).mAP  # fmt: skip

    assert against(features) < 0.8 * against(scene.known_gallery.features)
    with pytest.raises(BenchboxError, match="attacks the gallery"):
        attack.prepare(Knowledge(query=scene.query))
