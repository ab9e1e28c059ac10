"""The evaluation against brute force, a peer library, closed values and its own symmetries."""

import inspect
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import benchbox
from benchbox.errors import BenchboxError
from benchbox.evaluation import feature_distances, ranking, retrieval
from benchbox.evaluation.ranking import Judge, Labels, match_ranks
from benchbox.evaluation.retrieval import evaluate_retrieval, rank_distances

CONVENTIONS = ["step", "trapezoid"]


def brute_force(distances, query_pids, gallery_pids, query_camids, gallery_camids, ap, max_rank):
    """The protocol word by word: sort, drop junk, walk down the list."""
    precisions, first_hits, inps = [], [], []
    for row, pid, camid in zip(distances, query_pids, query_camids, strict=True):
        order = sorted(range(len(row)), key=lambda item: (float(row[item]), item))
        hits = []
        for item in order:
            own = gallery_pids[item] == pid
            if gallery_pids[item] == -1 or (own and gallery_camids[item] == camid):
                continue
            hits.append(bool(own))
        total = sum(hits)
        if total == 0:
            precisions.append(math.nan)
            first_hits.append(0)
            inps.append(math.nan)
            continue
        area, found, before = 0.0, 0, 1.0
        for rank, hit in enumerate(hits, start=1):
            found += hit
            precision = found / rank
            if hit:
                area += precision if ap == "step" else (before + precision) / 2
            before = precision
        precisions.append(area / total)
        first_hits.append(hits.index(True) + 1)
        hardest = len(hits) - hits[::-1].index(True)
        # Ye et al. 2021, Eq. 6 and 7: NP = (R - |G|) / R, and INP = 1 - NP.
        inps.append(1 - (hardest - total) / hardest)
    valid = [first for first in first_hits if first]
    cmc = [sum(first <= rank for first in valid) / len(valid) for rank in range(1, max_rank + 1)]
    per_id = {}
    for pid, precision in zip(query_pids, precisions, strict=True):
        if not math.isnan(precision):
            per_id.setdefault(int(pid), []).append(precision)
    return {
        "mAP": float(np.nanmean(precisions)),
        "ap": precisions,
        "cmc": cmc,
        "first_hit": first_hits,
        "inp": inps,
        "per_id": {pid: float(np.mean(values)) for pid, values in per_id.items()},
    }


def assert_agrees(result, expected):
    assert result.mAP == pytest.approx(expected["mAP"], abs=1e-12)
    np.testing.assert_allclose(result.ap, expected["ap"], atol=1e-12)
    np.testing.assert_allclose(result.cmc, expected["cmc"], atol=1e-12)
    assert result.first_hit.tolist() == expected["first_hit"]
    np.testing.assert_allclose(result.inp, expected["inp"], atol=1e-12)
    assert result.mINP == pytest.approx(float(np.nanmean(expected["inp"])), abs=1e-12)
    assert result.per_id == pytest.approx(expected["per_id"], abs=1e-12)
    assert list(result.per_id) == sorted(expected["per_id"])
    assert result.queries == sum(first > 0 for first in expected["first_hit"])
    assert result.skipped == sum(first == 0 for first in expected["first_hit"])


@st.composite
def problems(draw):
    """Small rankings with many ties, junk, distractors and queries without a match."""
    queries, gallery = draw(st.integers(1, 7)), draw(st.integers(1, 40))
    levels = draw(st.sampled_from([1, 2, 5, 1000]))
    pids = draw(st.sampled_from([1, 3, 8]))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    distances = generator.integers(-levels, levels + 1, (queries, gallery)) / 7
    distances[generator.random(distances.shape) < 0.1] = -0.0
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    labels = {
        "query_pids": generator.integers(1, pids + 1, queries),
        "gallery_pids": generator.integers(-1, pids + 1, gallery),
        "query_camids": generator.integers(1, 4, queries),
        "gallery_camids": generator.integers(1, 4, gallery),
    }
    # One sure match, so that the problem has an answer.
    labels["gallery_pids"][0] = labels["query_pids"][0]
    labels["gallery_camids"][0] = labels["query_camids"][0] + 1
    return distances.astype(dtype), labels


@settings(deadline=None, max_examples=150)
@given(problems(), st.sampled_from(CONVENTIONS), st.sampled_from([1, 5, 60]))
def test_ranking_agrees_with_brute_force(problem, ap, max_rank):
    distances, labels = problem
    expected = brute_force(distances, *labels.values(), ap, max_rank)
    result = rank_distances(distances, **labels, ap=ap, max_rank=max_rank)
    assert_agrees(result, expected)
    assert result.ap_convention == ap
    tensors = {name: torch.from_numpy(values) for name, values in labels.items()}
    assert_agrees(
        rank_distances(torch.from_numpy(distances), **tensors, ap=ap, max_rank=max_rank), expected
    )


@settings(deadline=None, max_examples=100)
@given(problems(), st.sampled_from([3, 4, 7, 8192]))
def test_the_three_ways_to_count_agree(problem, bins):
    """Counting, binning and (on accelerators) sorting give the same ranks, whatever the bins."""
    distances, labels = problem
    judge = Judge(Labels(**labels))
    matches, junk = judge.judge(slice(0, len(distances)))
    arguments = (matches, junk, judge.junk_columns)
    with pytest.MonkeyPatch.context() as patch:
        counted = match_ranks(distances, *arguments)
        patch.setattr(ranking, "COUNTED_MATCHES", 0)
        patch.setattr(ranking, "BINS", bins)
        binned = match_ranks(distances, *arguments)
    ranked = ranking._ranks_by_sorting(torch.from_numpy(distances), *arguments)
    np.testing.assert_array_equal(binned, counted)
    np.testing.assert_array_equal(ranked, counted)


@pytest.mark.parametrize(
    "row",
    [
        [3e38, -3e38, 0, 3e38, -3e38, 1, 0],
        [1e-45, 0, 1e-45, 0, -1e-45, 2, -0.0],
        [1e30, 1, 2, 1, 3, 1e30, 1],
        [5, 5, 5, 5, 5, 5, 5],
        [0.0, -0.0, 1, 0.0, -0.0, 2, -0.0],
        [-0.0, 1, 2, 3, 4, 5, 0.0],
        [0.0, 1, 2, 3, 4, 5, -0.0],
        [1, 1 + 1e-7, 1, 1 + 2e-7, 1 - 1e-7, 1, 1 + 1e-7],
    ],
)
@pytest.mark.parametrize("junk", [[], [0], [1, 4]])
def test_binning_is_exact_at_the_ends_of_the_number_range(row, junk):
    row = np.array(row, dtype=np.float32)
    row[junk] = np.inf
    place = np.empty(len(row), dtype=int)
    place[np.argsort(row, kind="stable")] = np.arange(1, len(row) + 1)
    columns = np.setdiff1d(np.arange(len(row)), junk)
    for some in (columns, columns[::2], *columns[:, None]):
        np.testing.assert_array_equal(ranking._bin(row, some), place[some])
        np.testing.assert_array_equal(ranking._count(row, some), place[some])


@settings(deadline=None, max_examples=40)
@given(problems(), st.integers(1, 90))
def test_chunks_do_not_matter(problem, elements):
    distances, labels = problem
    whole = rank_distances(distances, **labels)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retrieval, "CHUNK_ELEMENTS", elements)
        chunked = rank_distances(distances, **labels)
    np.testing.assert_array_equal(chunked.ap, whole.ap)
    np.testing.assert_array_equal(chunked.first_hit, whole.first_hit)
    assert chunked.mAP == whole.mAP


@settings(deadline=None, max_examples=40)
@given(problems(), st.randoms(use_true_random=False))
def test_order_of_queries_does_not_matter(problem, random):
    distances, labels = problem
    result = rank_distances(distances, **labels)
    order = list(range(len(distances)))
    random.shuffle(order)
    labels |= {name: labels[name][order] for name in ("query_pids", "query_camids")}
    shuffled = rank_distances(distances[order], **labels)
    np.testing.assert_array_equal(shuffled.ap, result.ap[order])
    np.testing.assert_allclose(shuffled.cmc, result.cmc, atol=1e-12)
    assert shuffled.per_id == pytest.approx(result.per_id)


@settings(deadline=None, max_examples=40)
@given(problems())
def test_only_the_order_of_distances_matters(problem):
    distances, labels = problem
    result = rank_distances(distances, **labels)
    _, ordinal = np.unique(distances, return_inverse=True)
    for same_order in (
        ordinal.reshape(distances.shape),
        np.exp(distances.astype(np.float64) / 200),
    ):
        np.testing.assert_array_equal(rank_distances(same_order, **labels).ap, result.ap)


@pytest.mark.parametrize(("ap", "expected"), [("step", 0.8304), ("trapezoid", 0.8110)])
def test_golden_vector(ap, expected):
    """Hits at ranks 1, 2, 4, 7; a junk item and one of pid -1 between them do not count."""
    gallery_pids = [5, 5, 5, -1, 9, 5, 0, 9, 5]
    gallery_camids = [2, 1, 3, 2, 1, 4, 1, 2, 2]
    result = rank_distances([np.arange(9.0)], [5], gallery_pids, [1], gallery_camids, ap=ap)
    assert round(result.mAP, 4) == expected
    assert result.per_id == {5: result.mAP}


def test_golden_cmc():
    """First hits at ranks 1, 3 and 5 of a gallery of five; a fourth query has no match."""
    gallery_pids = [1, 0, 2, 0, 3]
    distances = np.tile(np.arange(5.0), (4, 1))
    result = rank_distances(
        distances, [1, 2, 3, 4], gallery_pids, [1] * 4, [2] * 5, ap="step", max_rank=8
    )
    thirds = np.array([1, 1, 2, 2, 3, 3, 3, 3]) / 3
    np.testing.assert_allclose(result.cmc, thirds)
    assert result.first_hit.tolist() == [1, 3, 5, 0]
    np.testing.assert_allclose(result.ap, [1, 1 / 3, 1 / 5, np.nan])
    assert (result.queries, result.skipped) == (3, 1)
    assert result.mAP == pytest.approx((1 + 1 / 3 + 1 / 5) / 3)


def test_step_convention_is_scikit_learns_average_precision():
    metrics = pytest.importorskip("sklearn.metrics")
    generator = np.random.default_rng(3)
    distances = generator.permuted(np.tile(np.arange(400.0), (20, 1)), axis=1)
    query_pids, gallery_pids = np.arange(20) % 5, np.arange(400) % 5
    result = rank_distances(distances, query_pids, gallery_pids, [1] * 20, [2] * 400, ap="step")
    for row, pid, precision in zip(distances, query_pids, result.ap, strict=True):
        peer = metrics.average_precision_score(gallery_pids == pid, -row)
        assert precision == pytest.approx(peer, abs=1e-12)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("ap", CONVENTIONS)
def test_embeddings_agree_with_brute_force(metric, dtype, ap):
    generator = torch.Generator().manual_seed(4)
    query = torch.randn(30, 24, generator=generator, dtype=dtype)
    gallery = torch.randn(200, 24, generator=generator, dtype=dtype)
    labels = (np.arange(30) % 8, np.arange(200) % 8, np.arange(30) % 3, np.arange(200) % 5)
    if metric == "euclidean":
        distances = torch.cdist(query.double(), gallery.double())
    else:
        distances = 1 - torch.nn.functional.cosine_similarity(
            query.double()[:, None], gallery.double()[None], dim=2
        )
    expected = brute_force(distances.tolist(), *labels, ap, 50)
    assert_agrees(evaluate_retrieval(query, gallery, *labels, ap=ap, metric=metric), expected)
    arrays = evaluate_retrieval(query.numpy(), gallery.numpy(), *labels, ap=ap, metric=metric)
    assert_agrees(arrays, expected)


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 60), st.integers(1, 40),
    st.sampled_from([1, 10**9]),
)  # fmt: skip
def test_whole_number_embeddings_tie_exactly(seed, queries, gallery, dimensions, elements):
    """Products of small whole numbers are exact, so every mathematical tie must be a tie."""
    generator = np.random.default_rng(seed)
    query_features = generator.integers(-2, 3, (queries, dimensions)).astype(np.float32)
    gallery_features = generator.integers(-2, 3, (gallery, dimensions)).astype(np.float32)
    gallery_features += generator.integers(0, 30)
    pids = generator.integers(0, 4, queries), generator.integers(0, 4, gallery)
    labels = (*pids, [1] * queries, [2] * gallery)
    if not np.isin(pids[0], pids[1]).any():
        return
    distances = ((query_features[:, None] - gallery_features[None]) ** 2).sum(2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retrieval, "CHUNK_ELEMENTS", elements)
        result = evaluate_retrieval(query_features, gallery_features, *labels, ap="step")
    assert_agrees(result, brute_force(distances, *labels, "step", 50))


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("gallery", [5, 17, 33, 101])
@pytest.mark.parametrize("queries", [1, 2, 7])
@pytest.mark.parametrize("distinct", [1, 3])
def test_collapsed_embeddings_rank_by_gallery_order(metric, gallery, queries, distinct):
    """Matrix kernels give equal rows unequal products at such sizes: it must not show."""
    generator = torch.Generator().manual_seed(gallery + queries)
    points = torch.randn(distinct, 2048, generator=generator)
    row_is = torch.arange(gallery) % distinct
    query = torch.randn(queries, 2048, generator=generator)
    pids, gallery_pids = torch.arange(queries) % 4, torch.arange(gallery) % 4
    labels = (pids, gallery_pids, [1] * queries, [2] * gallery)
    of_points = torch.cdist(query.double(), points.double())
    if metric == "cosine":
        of_points = -(query.double() @ points.double().T) / points.double().norm(dim=1)
    expected = brute_force(of_points[:, row_is].tolist(), *(list(x) for x in labels), "step", 50)
    result = evaluate_retrieval(query, points[row_is], *labels, ap="step", metric=metric)
    np.testing.assert_allclose(result.ap, expected["ap"], atol=1e-12)


def test_everything_at_one_point_gives_the_gallery_order():
    one = torch.full((1, 64), 0.3)
    result = evaluate_retrieval(
        one.repeat(3, 1), one.repeat(50, 1), [1, 2, 3], np.arange(50) % 5, [1] * 3, [2] * 50
    )
    assert result.first_hit.tolist() == [2, 3, 4]


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_embeddings_crowded_far_from_the_origin_keep_their_order(metric):
    """Differences a ten-thousandth of the common mean would drown in float32 products."""
    generator = torch.Generator().manual_seed(5)
    mean = torch.randn(256, generator=generator) * 30
    query = mean + 3e-3 * torch.randn(20, 256, generator=generator)
    gallery = mean + 3e-3 * torch.randn(300, 256, generator=generator)
    labels = (np.arange(20) % 6, np.arange(300) % 6, [1] * 20, [2] * 300)
    if metric == "euclidean":
        distances = torch.cdist(
            query.double(), gallery.double(), compute_mode="donot_use_mm_for_euclid_dist"
        )
        in_float32 = gallery.square().sum(1) - 2 * query @ gallery.T
    else:
        wide = torch.nn.functional.normalize(gallery.double())
        distances = -query.double() @ wide.T
        in_float32 = -query @ torch.nn.functional.normalize(gallery).T
    expected = brute_force(distances.tolist(), *labels, "step", 50)
    result = evaluate_retrieval(query, gallery, *labels, ap="step", metric=metric)
    np.testing.assert_allclose(result.ap, expected["ap"], atol=1e-12)
    # The case is a hard one: the plain product does get it wrong.
    plain = rank_distances(in_float32, *labels, ap="step")
    assert np.abs(plain.ap - expected["ap"]).max() > 1e-3


def test_precision_shortcuts_of_the_process_do_not_reach_the_ranking():
    """Bfloat16 products, allowed by precision or autocast, would move matches of near equals."""
    generator = torch.Generator().manual_seed(6)
    query = torch.randn(256, 1024, generator=generator)
    gallery = torch.randn(2048, 1024, generator=generator)
    labels = (np.arange(256) % 9, np.arange(2048) % 9, [1] * 256, [2] * 2048)
    expected = evaluate_retrieval(query, gallery, *labels)
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        result = evaluate_retrieval(query, gallery, *labels)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
    np.testing.assert_array_equal(result.ap, expected.ap)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = evaluate_retrieval(query, gallery, *labels)
    np.testing.assert_array_equal(result.ap, expected.ap)


def test_a_zero_embedding_is_similar_to_nothing():
    """Cosine: a zero vector lies between what points its way and what points away."""
    gallery = [[0.0, 0.0], [-1.0, 0.0], [1.0, 0.0]]
    result = evaluate_retrieval(
        [[2.0, 0.0]], gallery, [1], [1, 2, 3], [1], [2, 2, 2], metric="cosine"
    )
    assert result.first_hit.tolist() == [2]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int64, torch.float64])
def test_types_are_widened(dtype):
    generator = torch.Generator().manual_seed(7)
    query = (torch.randn(8, 16, generator=generator) * 9).to(dtype)
    gallery = (torch.randn(40, 16, generator=generator) * 9).to(dtype)
    labels = (np.arange(8) % 3, np.arange(40) % 3, [1] * 8, [2] * 40)
    wide = evaluate_retrieval(query.double(), gallery.double(), *labels)
    np.testing.assert_allclose(evaluate_retrieval(query, gallery, *labels).ap, wide.ap)
    distances = torch.cdist(query.double(), gallery.double()).to(dtype)
    expected = brute_force(distances.tolist(), *labels, "trapezoid", 50)
    assert_agrees(rank_distances(distances, *labels), expected)


def test_inputs_are_left_alone_and_any_layout_is_read():
    generator = np.random.default_rng(8)
    query = generator.random((6, 5)).astype(np.float32)
    gallery = generator.random((30, 5)).astype(np.float32)
    labels = ([1] * 6, np.arange(30) % 3 - 1, [1] * 6, np.arange(30) % 2)
    expected = evaluate_retrieval(query, gallery, *labels)
    frozen = gallery.copy()
    frozen.setflags(write=False)
    layouts = [frozen, gallery[::-1][::-1], np.asfortranarray(gallery), gallery.astype(">f4")]
    for layout in layouts:
        np.testing.assert_array_equal(evaluate_retrieval(query, layout, *labels).ap, expected.ap)
    wanting_gradient = torch.from_numpy(gallery).requires_grad_()
    np.testing.assert_array_equal(
        evaluate_retrieval(query, wanting_gradient, *labels).ap, expected.ap
    )
    distances = generator.random((6, 30))
    distances.setflags(write=False)
    copy = distances.copy()
    rank_distances(distances, *labels)
    np.testing.assert_array_equal(distances, copy)


def test_the_record_cannot_be_changed():
    result = rank_distances([[1.0]], [1], [1], [1], [2])
    with pytest.raises(AttributeError):
        result.mAP = 1.0
    for array in (result.ap, result.cmc, result.first_hit, result.inp):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


LABELS = {
    "query_pids": [1, 2, 3],
    "gallery_pids": [1, 2, 3, 0],
    "query_camids": [1, 1, 1],
    "gallery_camids": [2, 2, 2, 2],
}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", ["query_features", "gallery_features", "distances"])
@pytest.mark.parametrize("tensor", [np.asarray, torch.as_tensor])
def test_rows_that_are_not_finite_are_named(value, kind, tensor):
    matrices = {
        "query_features": np.ones((3, 5)),
        "gallery_features": np.ones((4, 5)),
        "distances": np.ones((3, 4)),
    }
    matrices[kind][2, 1] = value
    matrices = {name: tensor(matrix) for name, matrix in matrices.items()}
    distances = matrices.pop("distances")

    def evaluate():
        if kind == "distances":
            return rank_distances(distances, **LABELS)
        return evaluate_retrieval(**matrices, **LABELS)

    with pytest.raises(BenchboxError, match=rf"{kind}: NaN or infinity in row\(s\) 2 "):
        evaluate()


def test_a_row_is_named_by_its_number_in_the_whole_matrix(monkeypatch):
    monkeypatch.setattr(retrieval, "CHUNK_ELEMENTS", 4)
    distances = np.ones((3, 4))
    distances[1, 0] = np.nan
    with pytest.raises(BenchboxError, match=r"row\(s\) 1 "):
        rank_distances(distances, **LABELS)


def test_large_finite_numbers_are_no_infinity():
    """Their sum overflows, they do not; but embeddings whose distance overflows are refused."""
    distances = np.full((3, 4), 3e38, dtype=np.float32)
    assert rank_distances(distances, **LABELS).first_hit.tolist() == [1, 2, 3]
    features = np.full((4, 5), 1e30, dtype=np.float32)
    with pytest.raises(BenchboxError, match="euclidean distances of query_features"):
        evaluate_retrieval(features[:3], features * 1e-30 * 1e-30, **LABELS)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize(
    ("dtype", "exponents"),
    [(torch.float32, [-126, -83, -40, 40, 83, 120]), (torch.float64, [-900, 900])],
)
def test_very_small_and_very_large_embeddings_rank_as_ordinary_ones(metric, dtype, exponents):
    generator = torch.Generator().manual_seed(4)
    query, gallery = (torch.randn(n, 24, generator=generator, dtype=dtype) for n in (30, 200))
    gallery[7] = 0
    labels = (np.arange(30) % 8, np.arange(200) % 8, np.arange(30) % 3, np.arange(200) % 5)
    ordinary = evaluate_retrieval(query, gallery, *labels, metric=metric)
    for exponent in exponents:
        factor = torch.tensor(2.0, dtype=dtype) ** exponent
        found = evaluate_retrieval(query * factor, gallery * factor, *labels, metric=metric)
        # A power of two changes no digit but at the end of the range, where digits are lost.
        equal = np.testing.assert_array_equal if exponent > -126 else np.testing.assert_allclose
        equal(found.ap, ordinary.ap)
    if metric == "cosine":
        lengths = 10.0 ** torch.arange(-30, 31, dtype=torch.float32)
        uneven = gallery * lengths[torch.arange(200) % len(lengths), None].to(dtype)
        found = evaluate_retrieval(query, uneven, *labels, metric=metric)
        np.testing.assert_allclose(found.ap, ordinary.ap, atol=0.02)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"query_pids": [1, 2]}, r"query_pids: expected 3 whole numbers"),
        ({"gallery_camids": [1, 2, 3, 4, 5]}, r"gallery_camids: expected 4 whole numbers"),
        ({"gallery_pids": [1.5, 2, 3, 4]}, r"gallery_pids: expected 4 whole numbers"),
        ({"query_camids": ["a", "b", "c"]}, r"query_camids: expected 3 whole numbers"),
        ({"query_pids": [[1], [2], [3, 4]]}, r"query_pids: cannot be read"),
        ({"ap": "stepp"}, r"AP convention 'stepp'. Did you mean 'step'"),
        ({"max_rank": 0}, r"max_rank: expected a whole number from 1"),
        ({"query_pids": [7, 8, 9]}, r"none of the 3 queries has a valid match"),
        ({"query_camids": [2, 2, 2]}, r"none of the 3 queries has a valid match"),
        ({"query_pids": [-1] * 3, "gallery_pids": [-1] * 4}, r"none of the 3 queries"),
    ],
)
def test_bad_input_is_one_clear_line(change, message):
    with pytest.raises(BenchboxError, match=message):
        rank_distances(np.ones((3, 4)), **(LABELS | change))
    with pytest.raises(BenchboxError, match=message):
        evaluate_retrieval(np.ones((3, 5)), np.ones((4, 5)), **(LABELS | change))


@pytest.mark.parametrize(
    ("query", "gallery", "message"),
    [
        (np.ones((3, 5)), np.ones((4, 6)), "5 dimensions, gallery_features 6"),
        (np.ones(3), np.ones((4, 6)), "query_features: expected a 2-D matrix"),
        (np.ones((3, 5)), np.ones((0, 5)), "gallery_features: expected a 2-D matrix"),
        (np.ones((3, 5)), np.ones((4, 5), dtype=complex), "gallery_features: expected a 2-D"),
        (np.ones((3, 5)), [["a"]], "gallery_features: expected a 2-D matrix of numbers"),
    ],
)
def test_embeddings_of_a_wrong_shape_are_refused(query, gallery, message):
    with pytest.raises(BenchboxError, match=message):
        evaluate_retrieval(query, gallery, **LABELS)


def test_unknown_metric_names_the_nearest():
    with pytest.raises(BenchboxError, match=r"unknown metric 'cosin'\. Did you mean 'cosine'"):
        evaluate_retrieval(np.ones((3, 5)), np.ones((4, 5)), **LABELS, metric="cosin")


def test_repeated_rows_are_found_by_value():
    rows = torch.randn(6, 100, generator=torch.Generator().manual_seed(9))
    rows[4] = rows[1]
    rows[5] = rows[1]
    rows[1, 0], rows[4, 0], rows[5, 0] = 0.0, -0.0, 0.0
    rows[2] = rows[1]
    rows[2, 1] += 1  # differs in a column that is not sampled
    copies, originals = feature_distances._repeats(rows)
    assert (copies.tolist(), originals.tolist()) == ([4, 5], [1, 1])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_ranks_alike():
    generator = torch.Generator().manual_seed(10)
    query = torch.randint(-3, 4, (50, 32), generator=generator).float()
    gallery = torch.randint(-3, 4, (700, 32), generator=generator).float()
    labels = (np.arange(50) % 9, np.arange(700) % 10 - 1, np.arange(50) % 3, np.arange(700) % 3)
    expected = evaluate_retrieval(query, gallery, *labels)
    on_gpu = [torch.as_tensor(values).cuda() for values in labels]
    result = evaluate_retrieval(query.cuda(), gallery.cuda(), *on_gpu)
    np.testing.assert_array_equal(result.ap, expected.ap)
    distances = torch.cdist(query, gallery, compute_mode="donot_use_mm_for_euclid_dist")
    np.testing.assert_array_equal(
        rank_distances(distances.cuda(), *on_gpu).ap, rank_distances(distances, *labels).ap
    )


@pytest.mark.parametrize("name", [n for n in benchbox.__all__ if not n.startswith("_")])
def test_signatures_of_the_public_functions_fit_a_screen(name):
    signature = str(inspect.signature(getattr(benchbox, name)))
    assert len(signature) < 900, signature
    assert "ForwardRef" not in signature
