"""Worst-case training: whom it ranks against, what it climbs, and what it costs."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from attacks import FNA
from attacks.in_training import attack_batch
from benchbox.errors import BenchboxError
from benchbox.training.loop import train
from benchbox.training.recipe import Batch
from benchbox.training.seeding import seeded
from defenses import WorstCaseTraining
from tests.test_adversarial_recipes import LABELS, hand_pair, real_pixels, trained_copy
from tests.test_ranking_recipes import embedded, vanilla  # noqa: F401
from tests.test_training import CPU, SHORT, TinyModel, made_data

RECIPE = WorstCaseTraining(eps=8 / 255, steps=5)


def average_precisions(queries: Tensor, gallery: Tensor) -> Tensor:
    """Step AP of each image among the others, counted by hand."""
    found = []
    for row, query in enumerate(queries):
        others = [j for j in range(24) if j != row]
        ranked = sorted(others, key=lambda j, query=query: (query - gallery[j]).norm().item())
        hits = [place for place, j in enumerate(ranked, 1) if LABELS[j] == LABELS[row]]
        found.append(sum(k / place for k, place in enumerate(hits, 1)) / len(hits))
    return torch.tensor(found)


def test_it_lowers_ap_in_the_batch_more_than_fna(vanilla: TinyModel) -> None:  # noqa: F811
    images = real_pixels()
    clean = embedded(vanilla, images)
    made = RECIPE.attacked(vanilla, Batch(images, LABELS, seeded(0)))
    assert (made - images).abs().max().item() <= 8 / 255 + 1e-6
    fna = attack_batch(FNA(eps=8 / 255, steps=5, step_size=2 / 255), vanilla, images, LABELS)
    before, after, other = (
        average_precisions(embedded(vanilla, points), clean) for points in (images, made, fna)
    )
    assert after.mean() < before.mean() - 0.1
    assert after.mean() < other.mean()


def test_its_losses_are_those_of_adv_train_on_its_images(vanilla: TinyModel) -> None:  # noqa: F811
    batch = Batch(real_pixels(), LABELS, seeded(0))
    losses = RECIPE.losses(trained_copy(vanilla), batch)
    made = RECIPE.attacked(vanilla, replace(batch, generator=seeded(0)))
    expected = hand_pair(trained_copy(vanilla).features(made), LABELS)
    assert {k: v.item() for k, v in losses.items()} == pytest.approx(expected, rel=1e-3)


def test_a_batch_is_ranked_against_all_others_or_against_all_seen_so_far() -> None:
    data, clean = made_data(), torch.randn(24, 32, generator=seeded("clean"))
    among = RECIPE.ranking(clean, Batch(real_pixels(), LABELS, seeded(0)))
    same = LABELS[:, None] == LABELS
    assert torch.equal(among.right, same & ~torch.eye(24, dtype=torch.bool))
    assert torch.equal(among.wrong, ~same)

    recipe = WorstCaseTraining(gallery="training_set")
    memory = recipe.companion(TinyModel(), data, seed=0, device=CPU)
    rows = torch.arange(48).unflatten(0, (6, 8))[:, :4].flatten()
    for visit, seen in ((rows, 24), (rows + 4, 48)):
        fresh = clean + visit[0]
        batch = Batch(real_pixels(), LABELS, seeded(0), rows=visit, companion=memory)
        ranking = recipe.ranking(fresh, batch)
        assert len(ranking.features) == seen
        gallery = memory.known.nonzero().flatten()
        for place, row in enumerate(visit):
            fellow = (data.labels[gallery] == data.labels[row]) & (gallery != row)
            assert torch.equal(ranking.right[place], fellow)
        assert torch.equal(memory.features[visit], fresh)


def test_the_memory_is_filled_in_training_and_lies_in_the_checkpoint(tmp_path) -> None:
    training = replace(SHORT, epochs=1)
    recipe = WorstCaseTraining(steps=2, gallery="training_set", training=training)
    train(recipe, TinyModel(), made_data(), seed=0, folder=tmp_path, device=CPU)
    kept = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["companion"]
    assert kept["known"].float().mean() > 0.9
    torch.testing.assert_close(kept["features"][kept["known"]].norm(dim=1), torch.ones(48))


def test_its_cost_is_its_passes_and_its_gallery_is_checked() -> None:
    # A forward pass to rank, 5 gradients, a last look, and a training step.
    assert RECIPE.step_cost == pytest.approx((1 + 5 * 2 + 1 + 3) / 3)
    with pytest.raises(BenchboxError, match="unknown gallery 'all'"):
        WorstCaseTraining(gallery="all")
