"""Re-rankings against plain, dense implementations of their papers, and their own symmetries."""

from typing import get_args

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from benchbox.errors import BenchboxError
from benchbox.evaluation.feature_distances import exact_products
from benchbox.evaluation.ranking import Labels
from benchbox.evaluation.retrieval import evaluate_retrieval, rank_distances
from benchbox.reranking import base
from benchbox.reranking.base import evaluate_reranked
from benchbox.reranking.k_reciprocal import KReciprocal
from benchbox.reranking.multi_query import MultiQuery
from benchbox.reranking.names import PLAIN, Ranking
from benchbox.reranking.nearest import nearest_places
from benchbox.reranking.query_expansion import QueryExpansion
from benchbox.reranking.rankings import RANKINGS


def dense_k_reciprocal(query, gallery, k1, k2, original):
    """Zhong et al. 2017, equation by equation, in sets and dense matrices of float64."""
    features = np.concatenate([query, gallery]).astype(np.float64)
    images = range(len(features))
    d = ((features[:, None] - features[None]) ** 2).sum(2)
    d = d / d.max(1, keepdims=True)
    order = np.argsort(d, axis=1, kind="stable")

    def near(p, k):  # Eq. 1, and p itself
        return set(order[p, : k + 1].tolist())

    def reciprocal(p, k):  # Eq. 2
        return {g for g in near(p, k) if p in near(g, k)}

    def expanded(p):  # Eq. 3, strict as in the authors' code
        own = reciprocal(p, k1)
        found = set(own)
        for q in own:
            theirs = reciprocal(q, round(k1 / 2))
            if len(own & theirs) > 2 / 3 * len(theirs):
                found |= theirs
        return found

    v = np.zeros_like(d)  # Eq. 7, each row to a sum of 1
    for p in images:
        members = sorted(expanded(p))
        v[p, members] = np.exp(-d[p, members])
        v[p] /= v[p].sum() or 1
    v = np.stack([v[order[p, :k2]].mean(0) for p in images])  # Eq. 11
    first = len(query)
    final = np.empty((first, len(gallery)))
    for i in range(first):
        for g in range(len(gallery)):  # Eq. 10 and 12
            least = np.minimum(v[i], v[first + g]).sum()
            most = np.maximum(v[i], v[first + g]).sum()
            jaccard = 1 - least / most
            final[i, g] = (1 - original) * jaccard + original * d[i, first + g]
    return final


def dense_expansion(query, gallery, k, times, alpha):
    """Fast-reid's average query expansion, image by image, and the cosine distance after it."""
    features = np.concatenate([query, gallery]).astype(np.float64)
    for _ in range(times):
        unit = features / np.linalg.norm(features, axis=1, keepdims=True)
        cosines = unit @ unit.T
        expanded = []
        for row in cosines:
            nearest = np.argsort(-row, kind="stable")[:k]
            weights = np.maximum(row[nearest], 0) ** alpha
            expanded.append((features[nearest] * weights[:, None]).mean(0))
        features = np.stack(expanded)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    return 1 - unit[: len(query)] @ unit[len(query) :].T


def clustered(seed, *, queries=12, gallery=40, people=8, width=16, noise=0.6):
    """Embeddings of people, of unit length, and whose they are."""
    draw = np.random.default_rng(seed)
    centres = draw.normal(size=(people, width))
    found = []
    for number in (queries, gallery):
        pids = draw.integers(0, people, number)
        features = centres[pids] + noise * draw.normal(size=(number, width))
        unit = torch.from_numpy(features / np.linalg.norm(features, axis=1, keepdims=True))
        found.append((unit.float(), pids + 1, draw.integers(1, 4, number)))
    (query, query_pids, query_camids), (items, gallery_pids, gallery_camids) = found
    return query, items, Labels(query_pids, gallery_pids, query_camids, gallery_camids)


def distances_of(reranking, query, gallery, labels):
    with torch.no_grad(), exact_products(gallery.device):
        chunks = [chunk.clone() for chunk in reranking.distances(query, gallery, labels)]
    return torch.cat(chunks).numpy()


@pytest.fixture(params=["one chunk", "chunks of five"])
def chunks(request, monkeypatch):
    """How much is held at once must not matter."""
    if request.param == "chunks of five":
        monkeypatch.setattr(base, "CHUNK_ELEMENTS", 5 * 52)
        monkeypatch.setattr("benchbox.reranking.k_reciprocal.ROWS", 7)
        monkeypatch.setattr("benchbox.reranking.k_reciprocal.PAIRS", 11)


@pytest.mark.usefixtures("chunks")
@pytest.mark.parametrize("seed", range(20))
def test_k_reciprocal_is_the_papers(seed: int) -> None:
    draw = np.random.default_rng(1000 + seed)
    k1, k2 = int(draw.integers(2, 25)), int(draw.integers(1, 9))
    original = float(draw.choice([0.0, 0.3, 0.8]))
    query, gallery, labels = clustered(seed, noise=float(draw.uniform(0.2, 1.5)))
    found = distances_of(KReciprocal(k1, k2, original), query, gallery, labels)
    expected = dense_k_reciprocal(query.numpy(), gallery.numpy(), k1, k2, original)
    np.testing.assert_allclose(found, expected, atol=2e-6)


@pytest.mark.usefixtures("chunks")
@pytest.mark.parametrize("seed", range(20))
def test_query_expansion_is_fast_reids(seed: int) -> None:
    draw = np.random.default_rng(2000 + seed)
    k, times, alpha = int(draw.integers(1, 9)), int(draw.integers(1, 4)), float(draw.integers(0, 5))
    query, gallery, labels = clustered(seed)
    query, gallery = 3 * query, gallery * torch.linspace(0.5, 2, len(gallery))[:, None]
    found = distances_of(QueryExpansion(k, times, alpha), query, gallery, labels)
    expected = dense_expansion(query.numpy(), gallery.numpy(), k, times, alpha)
    # A query's own norm does not change the order of its gallery, and is left out.
    scale = expected - 1
    factor = (found * scale).sum(1, keepdims=True) / (scale**2).sum(1, keepdims=True)
    np.testing.assert_allclose(found / factor, scale, atol=1e-5)


@pytest.mark.parametrize("reranking", [KReciprocal(), QueryExpansion()])
def test_scores_are_those_of_the_dense_distances(reranking) -> None:
    query, gallery, labels = clustered(5)
    dense = (
        dense_k_reciprocal(query.numpy(), gallery.numpy(), 20, 6, 0.3)
        if isinstance(reranking, KReciprocal)
        else dense_expansion(query.numpy(), gallery.numpy(), 5, 1, 3.0)
    )
    whose = (labels.query_pids, labels.gallery_pids, labels.query_camids, labels.gallery_camids)
    expected = rank_distances(dense, *whose, ap="step")
    found = evaluate_reranked(reranking, query, gallery, labels, ap="step")
    np.testing.assert_allclose(found.ap, expected.ap)
    np.testing.assert_array_equal(found.first_hit, expected.first_hit)
    np.testing.assert_allclose(found.inp, expected.inp)


def test_re_ranking_helps_where_people_are_clusters() -> None:
    query, gallery, labels = clustered(3, queries=40, gallery=200, people=20, noise=0.7)
    whose = (labels.query_pids, labels.gallery_pids, labels.query_camids, labels.gallery_camids)
    plain = evaluate_retrieval(query, gallery, *whose).mAP
    assert plain < 0.95
    for reranking in (KReciprocal(), QueryExpansion()):
        found = evaluate_reranked(reranking, query, gallery, labels, ap="trapezoid")
        assert found.mAP > plain + 0.01


@pytest.mark.parametrize("scale", [1e-25, 1.0, 1e25])
@pytest.mark.parametrize("reranking", [KReciprocal(), QueryExpansion()])
def test_the_unit_of_embeddings_does_not_matter(reranking, scale: float) -> None:
    query, gallery, labels = clustered(7)
    expected = evaluate_reranked(reranking, query, gallery, labels, ap="step")
    found = evaluate_reranked(reranking, scale * query, scale * gallery, labels, ap="step")
    np.testing.assert_allclose(found.ap, expected.ap)


@pytest.mark.parametrize("reranking", [KReciprocal(), QueryExpansion()])
def test_a_collapsed_embedding_is_ranked_by_place(reranking) -> None:
    """Everybody at one point: no number is invented, the gallery's order decides."""
    query, gallery, labels = clustered(1)
    here = F.normalize(torch.ones(1, query.shape[1]))
    found = distances_of(reranking, here.expand_as(query), here.expand_as(gallery), labels)
    assert np.isfinite(found).all()
    whose = (labels.query_pids, labels.gallery_pids, labels.query_camids, labels.gallery_camids)
    if isinstance(reranking, QueryExpansion):
        by_place = rank_distances(np.zeros_like(found), *whose).ap
        np.testing.assert_array_equal(rank_distances(found, *whose).ap, by_place)


def test_nearest_places_are_those_of_a_stable_sort() -> None:
    draw = np.random.default_rng(0)
    for levels in (1, 2, 5, 1000):
        distances = torch.from_numpy(draw.integers(0, levels, (9, 30)).astype(np.float32))
        for k in (1, 4, 30):
            expected = distances.argsort(dim=1, stable=True)[:, :k]
            assert torch.equal(nearest_places(distances, k), expected)


def test_multi_query_pools_a_persons_queries_of_one_camera() -> None:
    query, gallery, labels = clustered(2, queries=30, people=4)
    for pool in ("mean", "max"):
        pooled = []
        for pid, camid in zip(labels.query_pids, labels.query_camids, strict=True):
            same = (labels.query_pids == pid) & (labels.query_camids == camid)
            together = query[torch.from_numpy(same)]
            pooled.append(together.mean(0) if pool == "mean" else together.max(0).values)
        whose = (labels.query_pids, labels.gallery_pids, labels.query_camids, labels.gallery_camids)
        expected = evaluate_retrieval(torch.stack(pooled), gallery, *whose, ap="step")
        found = evaluate_reranked(MultiQuery(pool), query, gallery, labels, ap="step")
        np.testing.assert_allclose(found.ap, expected.ap)


def test_multi_query_is_refused_where_it_would_repeat_the_plain_ranking() -> None:
    query, gallery, labels = clustered(2)
    alone = Labels(
        labels.query_pids, labels.gallery_pids, np.arange(len(query)), labels.gallery_camids
    )
    with pytest.raises(BenchboxError, match="no two queries show one identity on one camera"):
        evaluate_reranked(MultiQuery(), query, gallery, alone, ap="step")


def test_grids_name_what_there_is() -> None:
    assert set(get_args(Ranking)) == {PLAIN, *RANKINGS}
    assert all(name == each.name for name, each in RANKINGS.items())
