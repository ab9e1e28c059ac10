"""Bounds of mAP from ranks: against rankings scored by the evaluator."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchbox import rank_distances
from benchbox.evaluation.average_precision import ApConvention
from benchbox.evaluation.retrieval import Retrieval
from benchbox.statistics.ap_bounds import highest_ap, lowest_ap, map_bounds

CONVENTIONS: tuple[ApConvention, ...] = ("trapezoid", "step")


def scored(matches: list[int], order: list[list[int]], ap: ApConvention) -> Retrieval:
    """Return the evaluator's scores of queries with given matches and given gallery places."""
    pids = [pid for pid, count in enumerate(matches, 1) for _ in range(count)]
    gallery = len(order[0])
    return rank_distances(
        np.array(order, dtype=np.float64),
        list(range(1, len(matches) + 1)),
        [*pids, *[0] * (gallery - len(pids))],
        [1] * len(matches),
        [2] * gallery,
        ap=ap,
    )


@pytest.mark.parametrize("ap", CONVENTIONS)
def test_every_ranking_of_one_query_lies_between_its_bounds(ap: ApConvention) -> None:
    """All places of 1 to 4 matches among 8; the upper bound is attained."""
    for m in range(1, 5):
        best: dict[int, float] = {}
        for hits in itertools.combinations(range(1, 9), m):
            others = [rank for rank in range(1, 9) if rank not in hits]
            found = float(scored([m], [[*hits, *others]], ap).ap[0])
            first = hits[0]
            assert lowest_ap(first, m, ap=ap)[-1] <= found + 1e-12
            best[first] = max(found, best.get(first, 0.0))
        for first, highest in best.items():
            assert highest_ap(first, m, ap=ap)[-1] == pytest.approx(highest, abs=1e-12)


@pytest.mark.parametrize("ap", CONVENTIONS)
@pytest.mark.parametrize("first", [1, 2, 6, 11])
def test_bounds_rise_and_fall_with_the_matches(first: int, ap: ApConvention) -> None:
    assert (np.diff(highest_ap(first, 300, ap=ap)) >= -1e-15).all()
    assert (np.diff(lowest_ap(first, 300, ap=ap)) <= 0).all()


@pytest.mark.parametrize("ap", CONVENTIONS)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_every_ranking_of_many_queries_lies_between_the_bounds(
    ap: ApConvention, data: st.DataObject
) -> None:
    matches = data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=5))
    gallery = sum(matches) + data.draw(st.integers(0, 12))
    seed = data.draw(st.integers(0, 2**32 - 1))
    draw = np.random.default_rng(seed)
    # From a coin's rankings to perfect and to hopeless ones.
    pull = data.draw(st.sampled_from([-40.0, -10.0, 0.0, 10.0, 40.0]))
    own = np.repeat(np.arange(len(matches)), matches)
    order = []
    for query in range(len(matches)):
        score = draw.random(gallery) * 10
        score[: len(own)] += pull * (own == query)
        order.append(np.argsort(np.argsort(score)).tolist())
    found = scored(matches, order, ap)
    hits = {k: int((found.first_hit <= k).sum()) for k in (1, 5, 10)}
    low, high = map_bounds(hits, np.ones(len(matches), dtype=int), np.array(matches), ap=ap)
    assert low - 1e-9 <= 100 * found.mAP <= high + 1e-9


@pytest.mark.parametrize("ap", CONVENTIONS)
def test_the_bound_of_one_kind_of_queries_is_attained(ap: ApConvention) -> None:
    """Two identities with 3 and 5 matches, all first hits at rank 6, the others right behind."""
    matches = [3, 5]
    hits = [[*range(6, 9), *range(9, 14), *range(1, 6)], [*range(11, 14), *range(6, 11)]]
    hits[1] += list(range(1, 6))
    found = scored(matches, hits, ap)
    high = map_bounds({1: 0, 5: 0, 10: 2}, np.array([1, 1]), np.array(matches), ap=ap)[1]
    assert 100 * found.mAP == pytest.approx(high)


@pytest.mark.parametrize("ap", CONVENTIONS)
def test_identities_count_by_their_queries(ap: ApConvention) -> None:
    """Against one identity for each query."""
    queries, matches = np.array([2, 1, 3]), np.array([4, 9, 2])
    hits = {1: 1, 5: 3, 10: 4}
    expected = map_bounds(hits, np.ones(6, dtype=int), np.repeat(matches, queries), ap=ap)
    assert map_bounds(hits, queries, matches, ap=ap) == pytest.approx(expected)


@pytest.mark.parametrize("ap", CONVENTIONS)
def test_no_rank_allows_no_high_map_and_all_ranks_no_low_one(ap: ApConvention) -> None:
    queries, matches = np.full(100, 3), np.full(100, 17)
    assert map_bounds({1: 0, 5: 0, 10: 0}, queries, matches, ap=ap)[1] < 45
    assert map_bounds({1: 300, 5: 300, 10: 300}, queries, matches, ap=ap)[0] > 5
