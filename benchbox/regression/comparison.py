"""A run beside its baseline, cell by cell, as a record."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from benchbox.regression.baseline_record import Baseline
from benchbox.regression.criteria import Criteria
from benchbox.regression.place import Place
from benchbox.regression.seed_noise import SeedNoise

Model = Literal["unchanged", "retrained", "exchanged"]
Verdict = Literal["regressed", "improved", "within noise", "same"]


@dataclass(frozen=True)
class ComparedCell:
    """A cell on both sides; mAP in percent, differences in points.

    Attributes:
        place: what was measured on what.
        seeds: the baseline's, and the run's.
        old: the baseline's mAP, a mean over its seeds.
        new: the run's mAP, a mean over its seeds.
        lower: the difference is at least this, at the table's error rate.
        upper: the difference is at most this, at the table's error rate.
        model: whether a model stands on one side only: one that benchbox trained anew, or a given
            one in the place of another.
        verdict: what it comes to.
    """

    place: Place
    seeds: tuple[tuple[int, ...], tuple[int, ...]]
    old: float
    new: float
    lower: float
    upper: float
    model: Model
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
        cells: both sides cell by cell, in the baseline's order.
        criteria: when a difference is called one.
        noise: how far models scatter that are trained anew.
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
    def red(self) -> list[ComparedCell]:
        """The cells that regressed, and with ``two_sided`` those that improved."""
        improved = self.having("improved") if self.criteria.two_sided else []
        return [*self.having("regressed"), *improved]

    @property
    def ok(self) -> bool:
        """Whether no cell is red."""
        return not self.red

    @property
    def reach(self) -> float:
        """How many points the median cell must fall to be called regressed."""
        found = [max(cell.upper - cell.difference, 0.0) for cell in self.cells]
        return max(self.criteria.minimum_effect, float(np.median(found)))
