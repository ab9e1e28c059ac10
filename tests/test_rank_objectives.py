"""Objectives on the ranking against loops, autograd of the naive form, and the evaluator's AP."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

from attacks import FNA, rank_objectives
from attacks.base import Labelled
from attacks.rank_objectives import margin, match_distance, smooth_ap, towards
from attacks.ranked_gradient import GuidedGradient, RankedGradient, euclidean
from attacks.ranking import Ranking
from benchbox.errors import BenchboxError
from benchbox.evaluation.retrieval import evaluate_retrieval
from benchbox.evaluation.scoring import Scorer

QUERIES, GALLERY, DIMENSIONS = 9, 60, 6
TEMPERATURE = 0.07


def unit(count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(count, DIMENSIONS, generator=generator, dtype=torch.float64)
    return torch.nn.functional.normalize(points)


def made(seed: int = 0) -> tuple[Labelled, Labelled]:
    """Queries and a gallery with junk, distractors, and a query without a match."""
    generator = np.random.default_rng(seed)
    labels = lambda low, high, size: torch.from_numpy(generator.integers(low, high, size))  # noqa: E731
    query = Labelled(unit(QUERIES, seed), labels(1, 6, QUERIES), labels(1, 4, QUERIES))
    gallery = Labelled(unit(GALLERY, seed + 100), labels(-1, 6, GALLERY), labels(1, 4, GALLERY))
    query.pids[4] = 77
    return query, gallery


def kinds(query: Labelled, gallery: Labelled, row: int) -> tuple[list[int], list[int]]:
    """The matches and wrong images of a query, by the protocol's words."""
    right, wrong = [], []
    for place in range(len(gallery.pids)):
        if gallery.pids[place] == -1:
            continue
        if gallery.pids[place] != query.pids[row]:
            wrong.append(place)
        elif gallery.camids[place] != query.camids[row]:
            right.append(place)
    return right, wrong


def naive_smooth_ap(distance: Tensor, right: list[int], wrong: list[int]) -> Tensor:
    total = distance.sum() * 0
    for p in right:
        before = lambda j, p=p: torch.sigmoid((distance[p] - distance[j]) / TEMPERATURE)  # noqa: E731
        own = 1 + sum(before(q) for q in right if q != p)
        total = total + own / (own + sum(before(n) for n in wrong))
    return 1 - total / len(right)


def naive_match_distance(distance: Tensor, right: list[int], wrong: list[int]) -> Tensor:
    return distance[right].mean()


def naive_margin(distance: Tensor, right: list[int], wrong: list[int]) -> Tensor:
    nearest = sorted(wrong, key=lambda place: distance[place].item())[:10]
    return distance[right].mean() - distance[nearest].mean()


CASES = {
    "smooth_ap": (partial(smooth_ap, temperature=TEMPERATURE), naive_smooth_ap),
    "match_distance": (match_distance, naive_match_distance),
    "margin": (margin, naive_margin),
}


@pytest.mark.parametrize("chunk", [2**19, 150, 1])
@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients_equal_autograd_of_the_loop(name, chunk, monkeypatch):
    monkeypatch.setattr(rank_objectives, "CHUNK_ELEMENTS", chunk)
    objective, naive = CASES[name]
    for seed in range(3):
        query, gallery = made(seed)
        points = unit(QUERIES, seed + 7)
        values, gradients = RankedGradient(objective, Ranking.of(query, gallery))(points)
        for row in range(QUERIES):
            right, wrong = kinds(query, gallery, row)
            if not right:
                assert values[row] == 0 or name == "margin"
                continue
            leaf = points[row].clone().requires_grad_()
            value = naive((leaf - gallery.features).norm(dim=1), right, wrong)
            (gradient,) = torch.autograd.grad(value, leaf)
            assert values[row].item() == pytest.approx(value.item(), abs=1e-12)
            torch.testing.assert_close(gradients[row], gradient, atol=1e-9, rtol=1e-9)


def test_towards_is_the_opposite():
    query, gallery = made()
    ranking = Ranking.of(query, gallery)
    values, gradients = RankedGradient(margin, ranking)(query.features)
    opposite = RankedGradient(towards(margin), ranking)(query.features)
    assert torch.equal(opposite[0], -values)
    assert torch.equal(opposite[1], -gradients)


def test_guides_give_the_gradients_of_their_own_objective():
    query, _ = made()
    attack = FNA()
    guides = attack.guides(query.features, query.pids)
    points = unit(QUERIES, 3).requires_grad_()
    (expected,) = torch.autograd.grad(attack.objective(points, guides).sum(), points)
    objective = GuidedGradient(attack.objective, guides)
    values, gradients = objective(points.detach())
    torch.testing.assert_close(gradients, expected)
    rows = torch.tensor([5, 0, 5])
    assert torch.equal(objective[rows](points.detach()[rows])[0], values[rows])


def test_a_lone_query_has_no_smoothed_ap_and_no_gradient():
    query, gallery = made()
    ranking = Ranking.of(query, gallery)
    assert ranking.lone.nonzero().flatten().tolist() == [4]
    objective = partial(smooth_ap, temperature=TEMPERATURE)
    values, gradients = RankedGradient(objective, ranking)(query.features)
    assert values[4] == 0
    assert (gradients[4] == 0).all()


@pytest.mark.parametrize("name", CASES)
def test_queries_never_mix(name):
    query, gallery = made()
    ranking = Ranking.of(query, gallery)
    objective = CASES[name][0]
    values, gradients = RankedGradient(objective, ranking)(query.features)
    for rows in ([2], [7, 1, 0], [3, 4, 5, 6, 8]):
        part = RankedGradient(objective, ranking[rows])(query.features[rows])
        torch.testing.assert_close(part[0], values[rows], rtol=0, atol=1e-13)
        torch.testing.assert_close(part[1], gradients[rows], rtol=0, atol=1e-13)


@pytest.mark.parametrize("seed", range(4))
def test_towards_temperature_zero_it_is_the_evaluators_ap(seed):
    query, gallery = made(seed)
    ranking = Ranking.of(query, gallery)
    found = evaluate_retrieval(
        query.features, gallery.features, query.pids, gallery.pids, query.camids, gallery.camids,
        ap="step",
    )  # fmt: skip
    distances = euclidean(query.features, gallery.features, gallery.features.square().sum(1))
    ours = 1 - smooth_ap(distances, ranking, temperature=1e-9).values
    has_match = ~ranking.lone.numpy()
    np.testing.assert_allclose(ours.numpy()[has_match], found.ap[has_match], atol=1e-9)
    assert np.isnan(found.ap[~has_match]).all()


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("ap", ["step", "trapezoid"])
def test_the_scorer_gives_the_evaluators_numbers(ap, metric):
    query, gallery = made()
    found = evaluate_retrieval(
        query.features, gallery.features, query.pids, gallery.pids, query.camids, gallery.camids,
        ap=ap, metric=metric,
    )  # fmt: skip
    scorer = Scorer(query, gallery, ap=ap, metric=metric)
    for rows in (torch.arange(QUERIES), torch.tensor([5, 4, 0]), torch.tensor([4])):
        precision, first_hit = scorer(query.features[rows], rows)
        np.testing.assert_array_equal(precision.numpy(), found.ap[rows.numpy()])
        np.testing.assert_array_equal(first_hit.numpy(), found.first_hit[rows.numpy()])


def test_features_and_labels_that_do_not_fit_are_refused():
    query, gallery = made()
    nan = Labelled(gallery.features * torch.nan, gallery.pids, gallery.camids)
    short = Labelled(gallery.features, gallery.pids[:3], gallery.camids)
    narrow = Labelled(gallery.features[:, :2], gallery.pids, gallery.camids)
    for wrong, message in ((nan, "not finite"), (short, "60 int64 pids"), (narrow, "dimensions")):
        with pytest.raises(BenchboxError, match=message):
            Ranking.of(query, wrong)
