"""The Square attack: its squares, its schedule, and a guard that leaves gradients nothing."""

import pytest
import torch
from torch import Tensor

from attacks import FNA, Knowledge
from attacks.rank_objectives import margin
from attacks.ranked_gradient import RankedGradient
from attacks.ranking import Ranking
from attacks.square import Square, share_at, stripes, with_square
from benchbox.errors import BenchboxError
from tests.made_scenes import EPS, Scene


def test_squares_lie_anywhere_on_a_rectangular_image():
    clean = torch.full((3, 12, 5), 0.5)
    generator = torch.Generator().manual_seed(0)
    corners, colours = set(), set()
    for _ in range(600):
        changed = with_square(clean, clean, share=0.15, eps=0.1, generator=generator) - clean
        rows, columns = changed[0].nonzero().unbind(1)
        side = int(rows.max() - rows.min()) + 1
        assert side == 3  # √(0.15 · 60)
        assert len(rows) == side**2
        torch.testing.assert_close(changed.abs().amax(), torch.tensor(0.1))
        corners.add((int(rows.min()), int(columns.min())))
        colours.add(tuple(changed[:, rows[0], columns[0]].sign().tolist()))
    assert corners == {(row, column) for row in range(10) for column in range(3)}
    assert len(colours) == 8
    whole = with_square(clean, clean, share=1.0, eps=0.1, generator=generator) - clean
    assert (whole[0] != 0).sum() == 25


def test_the_papers_schedule():
    published = {0: 0.05, 11: 0.025, 51: 0.0125, 201: 0.00625, 8001: 0.05 / 256, 9999: 0.05 / 256}
    for step, share in published.items():
        assert share_at(step, 10_000) == share
    assert share_at(500, 1000) == share_at(5000, 10_000)


def test_stripes_are_vertical_and_an_images_own():
    generators = lambda: [torch.Generator().manual_seed(seed) for seed in (1, 2)]  # noqa: E731
    start = stripes(torch.zeros(2, 3, 7, 40), generators())
    assert start.shape == (2, 3, 1, 40)
    assert set(start.unique().tolist()) == {-1.0, 1.0}
    alone = stripes(torch.zeros(1, 3, 7, 40), generators()[1:])
    assert torch.equal(alone[0], start[1])


def test_the_margin_never_falls_and_the_batch_does_not_matter():
    scene = Scene()
    objective = RankedGradient(margin, Ranking.of(scene.query, scene.known_gallery))

    def margins(images: Tensor) -> Tensor:
        with torch.no_grad():
            return objective(scene.model(images))[0]

    before = None
    for steps in (0, 20, 60):
        images, _, _ = scene.search(Square(tries=steps))
        assert (images - scene.images).abs().max() <= EPS + 1e-6
        if steps == 60:
            assert (margins(images) > before).all()
            parts, _, _ = scene.search(Square(tries=steps), batch=4)
            assert torch.equal(parts, images)
        before = margins(images)


def test_it_finds_what_a_guard_without_a_gradient_hides():
    scene = Scene(queries=20)

    def guarded(images: Tensor) -> Tensor:
        """Sixteen levels, whose rounding has the gradient zero."""
        return scene.model((images * 16).round() / 16)

    guides = FNA(eps=EPS).guides(scene.query.features, scene.pids)
    by_gradient = FNA(eps=EPS)(guarded, scene.images, guides)
    assert torch.equal(by_gradient, scene.images)
    attack = Square(tries=200)
    (found,) = attack.search(guarded, scene.images, attack.prepare(scene.knowledge), eps=[EPS])
    rounded = (found.images * 16).round() / 16
    assert scene.retrieval(rounded).mAP < 0.8 * scene.retrieval(scene.images).mAP
    assert not found.images.requires_grad


def test_it_needs_the_gallery():
    with pytest.raises(BenchboxError, match="square: it needs the gallery"):
        Square().prepare(Knowledge(query=Scene().query))
