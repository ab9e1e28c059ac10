r"""Does a run fall behind its baseline by more than noise? Every cell is compared, none skipped.

A cell has regressed if its mAP fell by more than a minimum effect *and* the one-sided upper bound
of the true difference lies below 0. The bounds, upper and lower, hold for all cells of the table
together (each at 1% divided by twice the number of cells, after Bonferroni): where nothing changed
but chance, at most 1% of the tables are to be red. With ``two_sided`` a gain is red by the same
rule and a bound has half of that.

``tests/test_regression_simulation.py`` draws baselines and runs and compares them, start to end:
two models, each clean and under FNA, 140 queries of 40 identities whose queries agree as measured
in the demo's setting, retrained on both sides. Models scatter by a multiple of `SEED_STD`, here on
top; red were, of 1,000 tables each,

=============== ======== ======== ======== ========
models a side   1 ×      2.5 ×    3 ×      3.5 ×
=============== ======== ======== ======== ========
1               0        0        5        15
2               0        1        7        14
=============== ======== ======== ======== ========

and 3 with cells that scatter independently (2.5 ×, two models a side). In the demo's setting models
scatter by 0.8 to 1.8 times `SEED_STD`; beyond three times, as in trainings of seconds, the stated
rate no longer holds with one or two seeds. With the same weights and new luck per query 9 of 2,000
were red, 13 of 2,000 where the queries of an identity agree more; with ``two_sided`` 23 and 28 of
4,000. (Two sides that spent the whole 1% came to 93 of 8,000, a little more than that.)

What is left of power, by the same simulation: the share of true falls of FNA mAP from 20% that are
found, with models that scatter by 1 × (declared: the baseline's ``seed_std`` says so).

======= ====== ========= ========= ========= ========= ========= ========= ========= =========
queries models retrained retrained retrained declared  declared  declared  same      same
\       a side 5 points  8 points  10 points 5 points  8 points  10 points weights,  weights,
\                                                                           2 points  5 points
======= ====== ========= ========= ========= ========= ========= ========= ========= =========
140     1      0%        0%        3%        6%        42%       82%       2%        32%
140     2      1%        33%       76%       26%       75%       84%       9%        76%
140     3      14%       87%       100%      51%       97%       100%      11%       94%
140     5      64%       100%      100%      75%       100%      100%      26%       100%
700     1      0%        0%        5%        12%       85%       100%      18%       100%
700     3      20%       97%       100%      80%       97%       100%      92%       100%
700     5      83%       100%      100%      95%       100%      100%      97%       100%
======= ====== ========= ========= ========= ========= ========= ========= ========= =========

So two points are seen where the weights are the same (a guard, an attack or an evaluation changed)
or seeds are trusted, with about 700 queries and three models. After a retraining with other random
numbers they are within the seeds' spread, and no test can tell them from it: with one model a side
only collapses are red, with three falls of 8 points. The rows of 140 queries are of 200 tables
each, those of 700 (of 200 identities) of 60.

A model that was trained elsewhere is judged as it is, on these very queries: no chance is in its
numbers, so every fall beyond the minimum effect is red. What other hardware rounds differently
should be less than that.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from benchbox.errors import BenchboxError
from benchbox.regression.baseline_record import Baseline, BaselineCell
from benchbox.regression.comparability import obstacles, remarks
from benchbox.regression.comparison import ComparedCell, Comparison, Model, Verdict
from benchbox.regression.criteria import Criteria
from benchbox.regression.seed_noise import SeedNoise, retraining_weight, seed_noise
from benchbox.statistics.paired_bootstrap import MAX_DRAWS, Bounds, draws_for, paired_bounds


def compare_with_baseline(
    baseline: Baseline, run: Baseline, criteria: Criteria | None = None
) -> Comparison:
    """Return every cell of the baseline beside the run's, with a verdict.

    Raises:
        BenchboxError: the two cannot be compared, and the message lists why; or the error rate is
            finer than the bootstrap resolves for so many cells.
    """
    criteria = criteria or Criteria()
    reasons = obstacles(baseline, run)
    if reasons:
        listed = "\n".join(f"  {reason}" for reason in reasons)
        raise BenchboxError(
            f"the run cannot be held against the baseline; run the baseline's grid, or write the "
            f"baseline anew with --update:\n{listed}"
        )
    noise = seed_noise(baseline)
    found = run.by_place
    pairs = [(cell, found[cell.place]) for cell in baseline.cells]
    bounds = _bounds(pairs, baseline.pids, noise, criteria)
    cells = tuple(
        _compared(old, new, low, high, criteria)
        for (old, new), low, high in zip(pairs, bounds.lower, bounds.upper, strict=True)
    )
    return Comparison(baseline, run, cells, criteria, noise, tuple(remarks(baseline, run, noise)))


def verdict_of(difference: float, lower: float, upper: float, *, minimum_effect: float) -> Verdict:
    """Return what a difference comes to, all in points."""
    if difference < -minimum_effect and upper < 0:
        return "regressed"
    if difference > minimum_effect and lower > 0:
        return "improved"
    return "same" if difference == 0 else "within noise"


def _bounds(
    pairs: list[tuple[BaselineCell, BaselineCell]],
    pids: Mapping[str, Sequence[int]],
    noise: SeedNoise,
    criteria: Criteria,
) -> Bounds:
    """Return the bounds of all cells, in points; identities are resampled per test dataset.

    A given model is no draw of a recipe: the same tensors give the same numbers on the same
    images, so its difference is what it is, and nothing is allowed for but the minimum effect.
    """
    # By two for a table's two sides, of which one alone can be red; where both can, by two again.
    bounds = (4 if criteria.two_sided else 2) * len(pairs)
    level = criteria.level / bounds
    if level * MAX_DRAWS < 1:
        raise BenchboxError(
            f"an error rate (--level) of {criteria.level:g} over {len(pairs)} cells is finer than "
            f"{MAX_DRAWS:,} draws resolve; expected at least {bounds / MAX_DRAWS:g}."
        )
    lower, upper = np.zeros(len(pairs)), np.zeros(len(pairs))
    for test in dict.fromkeys(old.test for old, _ in pairs):
        places = [index for index, (old, _) in enumerate(pairs) if old.test == test]
        here = [pairs[index] for index in places]
        found = paired_bounds(
            100 * np.stack([new.ap - old.ap for old, new in here], axis=1),
            np.array(pids[test]),
            np.array([_spread(old, new, noise, criteria) for old, new in here]),
            degrees=noise.degrees,
            level=level,
            draws=draws_for(level),
            seed=criteria.seed,
        )
        lower[places], upper[places] = found.lower, found.upper
    for index, (old, new) in enumerate(pairs):
        if old.is_given and new.is_given:
            lower[index] = upper[index] = new.mAP - old.mAP
    return Bounds(lower, upper)


def _spread(old: BaselineCell, new: BaselineCell, noise: SeedNoise, criteria: Criteria) -> float:
    weight = retraining_weight(old, new, trust_seeds=criteria.trust_seeds)
    return weight * noise.std(old.place, (old.mAP + new.mAP) / 2)


def _compared(
    old: BaselineCell, new: BaselineCell, lower: float, upper: float, criteria: Criteria
) -> ComparedCell:
    before, after = old.mAP, new.mAP
    verdict = verdict_of(after - before, lower, upper, minimum_effect=criteria.minimum_effect)
    seeds = tuple(r.seed for r in old.seeds), tuple(r.seed for r in new.seeds)
    return ComparedCell(
        old.place, seeds, before, after, float(lower), float(upper), _model(old, new), verdict
    )


def _model(old: BaselineCell, new: BaselineCell) -> Model:
    if {result.weights for result in old.seeds} == {result.weights for result in new.seeds}:
        return "unchanged"
    return "exchanged" if old.is_given and new.is_given else "retrained"
