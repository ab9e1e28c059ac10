"""An entry's intervals: identities drawn with all their queries, and Student's over seeds."""

import math
import statistics

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from benchbox.leaderboard.entry.aggregate import interval_of
from benchbox.statistics.bootstrap import interval, resampled_means
from benchbox.statistics.interval_over_seeds import interval_over_seeds

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def clustered(draw: np.random.Generator, identities: int) -> tuple[Floats, Ints]:
    """Return values of a true mean of 0 whose identities differ, 1 to 7 queries each."""
    pids = np.repeat(np.arange(identities), draw.integers(1, 8, identities))
    return draw.normal(size=identities)[pids] + draw.normal(size=len(pids)), pids


def test_bootstrap_is_the_plain_one() -> None:
    """Every resample in plain Python, from the same numbers of the generator."""
    made = np.random.default_rng(3)
    # Names neither ascending nor dense, an identity's queries apart from each other.
    pids = made.permutation(np.repeat([9, 4, 70, 5, 11], [1, 3, 2, 6, 4]))
    values = made.beta(0.5, 2, len(pids))
    draw = np.random.default_rng(0)
    means = []
    names = sorted(set(pids.tolist()))
    for _ in range(300):
        picked: list[float] = []
        for _ in names:
            name = names[draw.integers(0, len(names))]
            picked += [value for value, pid in zip(values, pids, strict=True) if pid == name]
        means.append(sum(picked) / len(picked))
    # One call of the generator for all rows gives the numbers of single calls, in order.
    assert np.allclose(resampled_means(values, pids, resamples=300), means, atol=1e-12)
    means.sort()
    place = 0.975 * 299
    low, high = means[int(place)], means[int(place) + 1]
    expected = low + (place - int(place)) * (high - low)
    assert interval(values, pids, resamples=300)[1] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("size", [20, 400])
def test_bootstrap_agrees_with_scipy_where_each_identity_has_one_query(size: int) -> None:
    values = np.random.default_rng(size).beta(0.7, 1.5, size)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", random_state=1
    ).confidence_interval
    ours = interval(values, np.arange(size), resamples=20_000)
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.02 * values.std())


def test_the_interval_covers_the_truth_where_queries_of_an_identity_are_alike() -> None:
    """95% of 400 are 380, give or take 4.4; queries drawn singly cover about 75%."""
    draw = np.random.default_rng(5)
    inside = singly = 0
    for _ in range(400):
        values, pids = clustered(draw, 60)
        low, high = interval(values, pids, resamples=400)
        inside += low <= 0 <= high
        low, high = interval(values, np.arange(len(values)), resamples=400)
        singly += low <= 0 <= high
    assert 360 <= inside <= 396
    assert singly < 340


def test_its_width_is_that_of_the_ratio_estimator() -> None:
    """Against the linearised standard error of a ratio of sums (Cochran 1977, 6.4)."""
    values, pids = clustered(np.random.default_rng(2), 2_000)
    sums = np.bincount(pids, weights=values - values.mean())
    error = math.sqrt((sums**2).sum()) / len(values)
    low, high = interval(values, pids, resamples=4_000)
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.05)


def test_seeds_are_averaged_before_identities_are_resampled() -> None:
    draw = np.random.default_rng(1)
    ap, pids = draw.random((3, 50)), draw.integers(0, 12, 50)
    found = interval_of(ap, pids)
    single = interval_of(ap.mean(0, keepdims=True), pids)
    assert (found.low, found.high) == (single.low, single.high)
    assert (single.std, single.seeds_low, single.seeds_high) == (None, None, None)
    by_seed = [100 * row.mean() for row in ap]
    assert found.std == pytest.approx(statistics.stdev(by_seed))
    theirs = stats.t.interval(0.95, 2, loc=np.mean(by_seed), scale=stats.sem(by_seed))
    assert (found.seeds_low, found.seeds_high) == pytest.approx(theirs)


@pytest.mark.parametrize(
    ("values", "pids"), [([1.0, math.nan], [1, 2]), ([], []), ([1.0, 2.0], [1])]
)
def test_what_has_no_interval_is_refused(values: list[float], pids: list[int]) -> None:
    with pytest.raises(ValueError, match="as many identities"):
        interval(values, pids)


@pytest.mark.parametrize(
    ("n", "t"), [(2, 12.706), (3, 4.303), (4, 3.182), (6, 2.571), (11, 2.228), (31, 2.042)]
)
def test_the_interval_over_seeds_has_the_quantile_of_printed_tables(n: int, t: float) -> None:
    """The two-sided 95% column of Student's t, as statistics books print it."""
    values = [50 + (-1) ** i * 0.01 * (i // 2 + 1) for i in range(n)]
    found = interval_over_seeds(values)
    assert found is not None
    reach = t * statistics.stdev(values) / math.sqrt(n)
    mean = statistics.fmean(values)
    assert found == pytest.approx((mean - reach, mean + reach), abs=1e-3 * reach)


def test_the_interval_over_seeds_stays_within_percent() -> None:
    assert interval_over_seeds([3.0]) is None
    assert interval_over_seeds([1.0, 99.0]) == (0.0, 100.0)
    assert interval_over_seeds([40.0, 40.0]) == (40.0, 40.0)
