"""How far mAP moves when nothing changes but the training's random numbers.

A query's AP varies between retrainings in two ways: with the model, which moves all queries, and
by itself. The second part shrinks with the number of queries and is what resampling identities
sees; here is the first part, the model's. With A the variance of models, B that of single queries
and Q queries, models' mAPs have the variance A + B/Q (more where the queries of an identity agree),
so A is estimated as s² less that part.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchbox.regression.baseline_record import Baseline, BaselineCell
from benchbox.regression.place import Place

SEED_STD: Mapping[str, float] = {"none": 2.2, "fna": 1.4, "ifgsm": 1.4, "sma": 2.6}
"""Attack → standard deviation of models, in points at an mAP of 50%, where nothing is measured.

From ``leaderboards/measured`` (whitebox in both versions, ablation and transfer on Sidewalk, two
datasets, two and three seeds, 400 queries, clean, 8/255 and 10/255): the root mean square over
the cells above 2% mAP of the sample standard deviation divided by `level_factor` is 2.10, 1.34,
1.34 and 2.54, rounded up here. That still holds the part of the queries, so it is an upper value.
"""

UNMEASURED = 2.0
"""Factor on `SEED_STD` where the baseline does not declare its own ``seed_std``.

Trainings of a few epochs may scatter more: in the demo's setting three seeds had 0.8 (clean), 1.8
(FNA) and 1.4 (SMA) times `SEED_STD`, Adv_train alone less and BS+MS more.
"""

OTHER_ATTACKS = 1.8
DECLARED_DEGREES = 8
"""Degrees of freedom of what is declared, times `UNMEASURED`, for another setting's spread.

As a scaled inverse χ² it says that 90% of settings have between 1.4 and 3.4 times `SEED_STD`. Two
seeds of two models measure 2 degrees: that alone would make Student's t so wide that nothing is
seen, and the 22 degrees of the trainings `SEED_STD` comes from are degrees of another setting.
"""

_OTHER = "other"
_LEAST_LEVEL = 0.01


@dataclass(frozen=True)
class SeedNoise:
    """The spread that a retraining brings.

    Attributes:
        declared: attack → standard deviation in points at an mAP of 50%, `UNMEASURED` included;
            ``other`` for the rest.
        pooled: attack → the same, measured on the baseline's own seeds; empty with one seed.
        own: cell → the same, by the cell's own seeds alone.
        degrees_measured: degrees of freedom of ``pooled``: trainings beyond the first of each
            model.
    """

    declared: Mapping[str, float]
    pooled: Mapping[str, float]
    own: Mapping[Place, float]
    degrees_measured: int

    @property
    def degrees(self) -> int:
        """Degrees of freedom of `std`, for Student's t."""
        return DECLARED_DEGREES + self.degrees_measured

    def std(self, place: Place, mean_ap: float) -> float:
        """Return the standard deviation of models in a cell, in points.

        The variance is the mean of the declared and the measured one, each weighted by its
        degrees of freedom, s² = (ν₀ s₀² + ν s₁²) / (ν₀ + ν), or what the cell's own seeds show if
        that is more: some defenses scatter far more than others. It is scaled to mAP's level.

        Args:
            place: the cell's.
            mean_ap: the level, in percent.
        """
        attack = place.condition.attack
        variance = self.declared.get(attack, self.declared[_OTHER]) ** 2
        if attack in self.pooled:
            measured = self.degrees_measured * self.pooled[attack] ** 2
            variance = (DECLARED_DEGREES * variance + measured) / self.degrees
        return max(math.sqrt(variance), self.own.get(place, 0.0)) * level_factor(mean_ap)


def level_factor(mean_ap: float) -> float:
    """Return 2 √(p (1 − p)), which is 1 at an mAP of 50%: near 0 and 100% seeds hardly differ.

    Divided by it, the deviations in ``leaderboards/measured`` are spread over the cells as those
    of one normal distribution are (quantiles of 50, 75, 90 and 95% relative to the root mean
    square: 0.6, 1.2, 1.6 and 1.9 against 0.67, 1.15, 1.64 and 1.96).

    Args:
        mean_ap: the mAP in percent; it is taken for 1% at least and 99% at most.
    """
    level = min(max(mean_ap / 100, _LEAST_LEVEL), 1 - _LEAST_LEVEL)
    return 2 * math.sqrt(level * (1 - level))


def seed_noise(baseline: Baseline) -> SeedNoise:
    """Return the noise of retraining for a baseline: declared, and measured where it has seeds.

    The cells of one model are not independent, so a model's trainings count once, however many
    datasets, budgets and guards they were tested with.
    """
    by_models: dict[str, dict[tuple[str, ...], list[float]]] = defaultdict(
        lambda: defaultdict(list)
    )
    own: dict[Place, float] = {}
    for cell in baseline.cells:
        models = tuple(sorted({result.weights for result in cell.seeds}))
        if len(models) > 1:
            variance = model_variance(cell, baseline.pids[cell.test]) / level_factor(cell.mAP) ** 2
            by_models[cell.attack][models].append(variance)
            own[cell.place] = math.sqrt(max(variance, 0.0))
    pooled, degrees = {}, []
    for attack, variances in by_models.items():
        weights = [len(models) - 1 for models in variances]
        means = [float(np.mean(values)) for values in variances.values()]
        pooled[attack] = math.sqrt(max(float(np.average(means, weights=weights)), 0.0))
        degrees.append(sum(weights))
    others = {**SEED_STD, _OTHER: OTHER_ATTACKS}
    declared = {attack: UNMEASURED * std for attack, std in others.items()}
    return SeedNoise({**declared, **baseline.seed_std}, pooled, own, min(degrees, default=0))


def model_variance(cell: BaselineCell, pids: Sequence[int]) -> float:
    """Return s² less the part of the queries, of a cell's models in points²; may be negative.

    What is left of a query's AP when the query's and the model's means are taken away is summed
    over each of K identities, which are independent where queries are not: with R the sums, S
    models and Q queries the part of the queries is K / (K − 1) ΣR² / ((S − 1) Q²). With a query an
    identity that is B/Q.

    Args:
        cell: one with two models or more.
        pids: (Q,), whom a query shows.
    """
    by_model = {result.weights: result.ap for result in cell.seeds}
    ap = 100 * np.array(list(by_model.values()))
    models, count = ap.shape
    rest = ap - ap.mean(0) - ap.mean(1, keepdims=True) + ap.mean()
    _, index = np.unique(pids, return_inverse=True)
    sums = np.array([np.bincount(index, weights=row) for row in rest])
    identities = sums.shape[1]
    single = identities / max(identities - 1, 1) * (sums**2).sum() / ((models - 1) * count**2)
    return float(ap.mean(1).var(ddof=1) - single)


def retraining_weight(old: BaselineCell, new: BaselineCell, *, trust_seeds: bool) -> float:
    """Return by what the standard deviation of models is multiplied in new − old.

    Each side is a mean over its models. A model that stands on both sides cancels as far as its
    shares agree: the result is √Σ (share in new − share in old)² over all models.

    Args:
        old: a cell of the baseline.
        new: the same cell of the run.
        trust_seeds: take models of the same seed for the same, whatever their weights.
    """
    shares: dict[str | int, float] = defaultdict(float)
    for cell, sign in ((new, 1.0), (old, -1.0)):
        for result in cell.seeds:
            shares[result.seed if trust_seeds else result.weights] += sign / len(cell.seeds)
    return math.sqrt(sum(share**2 for share in shares.values()))
