r"""Does a run fall behind its baseline by more than noise? Every cell is compared, none skipped.

A cell has regressed if its mAP fell by more than a minimum effect *and* the one-sided upper bound
of the true difference lies below 0. The bounds, upper and lower, hold for all cells of the table
together (each at 1% divided by twice the number of cells, after Bonferroni): where nothing changed
but chance, at most 1% of the tables are red. ``tests/test_regression_simulation.py`` holds that,
with the retraining noise that is declared (`benchbox.leaderboard.seed_noise`); over more tables,
of eight attacks on one model, 0.5% were red of 1,000 (retrained, 140 queries), 0.7% of 4,000 (the
same weights, new luck per query), 0.2% of 500 (three seeds a side) and none of 200 (700 queries).
It assumes the declared noise is not exceeded: a baseline with two or more seeds measures it.

What is seen, by the same simulation: the share of true falls of FNA mAP from 20% that are found, in
such a table, with the noise of retraining declared as it is.

======= ========== ============= ============= ============= =============
queries seeds/side retrained     retrained     same weights  same weights
\                  2 points      5 points      2 points      5 points
======= ========== ============= ============= ============= =============
140     1          1%            14%           2%            53%
140     3          2%            78%           17%           99%
700     1          1%            28%           39%           100%
700     3          7%            97%           96%           100%
======= ========== ============= ============= ============= =============

So two points are seen where the weights are the same (a guard, an attack or an evaluation changed)
or seeds are trusted, with about 700 queries and three seeds; after a retraining with other random
numbers two points are within the seeds' spread, and no test can tell them from it.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from benchbox.errors import BenchboxError
from benchbox.leaderboard.baseline_record import Baseline, BaselineCell, Place
from benchbox.leaderboard.comparability import obstacles, remarks
from benchbox.leaderboard.paired_bootstrap import Bounds, draws_for, paired_bounds
from benchbox.leaderboard.seed_noise import SeedNoise, retraining_weight, seed_noise

Verdict = Literal["regressed", "improved", "within noise", "same"]


@dataclass(frozen=True, kw_only=True)
class Criteria:
    """When a difference is called one.

    Attributes:
        minimum_effect: points of mAP a cell must at least fall or gain.
        level: probability of any false alarm in a table where nothing changed, above 0, below 0.5.
        trust_seeds: take models of the same seed for the same even if their weights differ, as on
            one machine with one version: a change of weights is then the change under test, not
            chance. Off by default, since harmless changes also start another random sequence.
        seed: of the resampling.
    """

    minimum_effect: float = 1.0
    level: float = 0.01
    trust_seeds: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.level < 0.5 or not 0 <= self.minimum_effect <= 100:
            raise BenchboxError(
                "expected a minimum effect of 0 to 100 points and an error rate above 0 and below "
                f"0.5, not {self.minimum_effect} and {self.level}."
            )


@dataclass(frozen=True)
class ComparedCell:
    """A cell on both sides; mAP in percent, differences in points.

    Attributes:
        place: what it is of.
        seeds: of the baseline and of the run.
        old: mean mAP of the baseline.
        new: mean mAP of the run.
        lower: the difference is at least this, at the table's error rate.
        upper: the difference is at most this, likewise.
        retrained: whether a model stands on one side only.
        verdict: what it comes to.
    """

    place: Place
    seeds: tuple[tuple[int, ...], tuple[int, ...]]
    old: float
    new: float
    lower: float
    upper: float
    retrained: bool
    verdict: Verdict

    @property
    def difference(self) -> float:
        """New − old."""
        return self.new - self.old


@dataclass(frozen=True)
class Comparison:
    """A run beside its baseline.

    Attributes:
        baseline: what was measured before.
        run: what is measured now.
        cells: in the baseline's order.
        criteria: when a difference is called one.
        noise: of retraining.
        remarks: what a reader must know besides.
    """

    baseline: Baseline
    run: Baseline
    cells: tuple[ComparedCell, ...]
    criteria: Criteria
    noise: SeedNoise
    remarks: tuple[str, ...]

    def having(self, verdict: Verdict) -> list[ComparedCell]:
        """Return the cells with a verdict."""
        return [cell for cell in self.cells if cell.verdict == verdict]

    @property
    def ok(self) -> bool:
        """Whether no cell has regressed."""
        return not self.having("regressed")

    @property
    def reach(self) -> float:
        """How many points the median cell must fall to be called regressed."""
        found = [max(cell.upper - cell.difference, 0.0) for cell in self.cells]
        return max(self.criteria.minimum_effect, float(np.median(found)))


def compare(baseline: Baseline, run: Baseline, criteria: Criteria | None = None) -> Comparison:
    """Return every cell of the baseline beside the run's, with a verdict.

    Raises:
        BenchboxError: the two cannot be compared; the message lists why.
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
    bounds = _bounds(pairs, noise, criteria)
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
    pairs: list[tuple[BaselineCell, BaselineCell]], noise: SeedNoise, criteria: Criteria
) -> Bounds:
    """Return the bounds of all cells, in points; queries are resampled per test dataset."""
    # By two, since a false improvement is a false alarm as well.
    level = criteria.level / (2 * len(pairs))
    lower, upper = np.zeros(len(pairs)), np.zeros(len(pairs))
    for test in dict.fromkeys(old.test for old, _ in pairs):
        places = [index for index, (old, _) in enumerate(pairs) if old.test == test]
        here = [pairs[index] for index in places]
        found = paired_bounds(
            100 * np.stack([new.ap - old.ap for old, new in here], axis=1),
            np.array([_spread(old, new, noise, criteria) for old, new in here]),
            degrees=noise.degrees,
            level=level,
            draws=draws_for(level),
            seed=criteria.seed,
        )
        lower[places], upper[places] = found.lower, found.upper
    return Bounds(lower, upper)


def _spread(old: BaselineCell, new: BaselineCell, noise: SeedNoise, criteria: Criteria) -> float:
    weight = retraining_weight(old, new, trust_seeds=criteria.trust_seeds)
    return weight * noise.std(old.place, (old.mAP + new.mAP) / 2)


def _compared(
    old: BaselineCell, new: BaselineCell, lower: float, upper: float, criteria: Criteria
) -> ComparedCell:
    before, after = old.mAP, new.mAP
    retrained = {r.weights for r in old.seeds} != {r.weights for r in new.seeds}
    verdict = verdict_of(after - before, lower, upper, minimum_effect=criteria.minimum_effect)
    seeds = tuple(r.seed for r in old.seeds), tuple(r.seed for r in new.seeds)
    return ComparedCell(
        old.place, seeds, before, after, float(lower), float(upper), retrained, verdict
    )
