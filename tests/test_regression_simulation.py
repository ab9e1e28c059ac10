"""The stated error rates, by simulation: tables where nothing changed, and where something did.

A query's AP is the logistic function of its own difficulty, plus the model's quality, plus what
the model happens to make of this query. AP is skewed, as under attack: mean 20%, most queries near
0. What a retraining moves is set to what was measured: models' mAPs scatter by the declared
deviation beside the queries' own part, and single queries by 0.15 (Adv_train under FNA in the
demo's setting: 0.12). All cells of a table are attacks on one model, which is what a defense's
table is, and the worst for no correction but Bonferroni's.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from scipy.optimize import brentq

from benchbox.leaderboard.paired_bootstrap import draws_for, paired_bounds
from benchbox.leaderboard.seed_noise import DECLARED_DEGREES, SEED_STD, level_factor

CELLS = 8
LEVEL = 0.01
MINIMUM = 1.0
_HERMITE = np.polynomial.hermite_e.hermegauss(60)


def population_mean(shift: float, scale: float) -> float:
    """Return the mean of the logistic function of a normal variable, in percent."""
    nodes, weights = _HERMITE
    values = 1 / (1 + np.exp(-(shift + scale * nodes)))
    return 100 * float((weights * values).sum() / weights.sum())


DIFFICULTY, SINGLE = 1.7, 1.05
"""Standard deviations on the logistic scale, of queries and of a model's luck with one."""

_SCALE = math.hypot(DIFFICULTY, SINGLE)
EASE = brentq(lambda shift: population_mean(shift, _SCALE) - 20, -10, 0)
_SLOPE = (population_mean(EASE + 0.01, _SCALE) - population_mean(EASE - 0.01, _SCALE)) / 0.02
QUALITY = SEED_STD["fna"] * level_factor(20) / _SLOPE
"""Standard deviation of a model's quality on the logistic scale: mAP moves as declared."""


def shift_for(drop: float) -> float:
    """Return what to add on the logistic scale so that mAP falls by ``drop`` points."""
    return brentq(lambda s: population_mean(EASE + s, _SCALE) - (20 - drop), -5, 0.1)


@dataclass(frozen=True)
class Tables:
    """Differences of many made tables and what each would be called."""

    red: np.ndarray  # (tables, cells)

    @property
    def share(self) -> float:
        """Share of tables with any red cell."""
        return float(self.red.any(1).mean())

    @property
    def found(self) -> float:
        """Share of red among the first cells, in which the drop is."""
        return float(self.red[:, 0].mean())


def simulate(
    *,
    tables: int,
    queries: int,
    seeds: int = 1,
    drop: float = 0.0,
    retrained: bool = True,
    trusted: bool = False,
    together: bool = True,
    seed: int = 0,
) -> Tables:
    """Draw tables and judge every cell as `benchbox.leaderboard.regression.compare` does.

    Args:
        tables: how many.
        queries: in the test set, which is drawn anew for every table.
        seeds: models on each side.
        drop: points of mAP that the first cell's robustness falls by.
        retrained: draw new models for the new side; else the same, with new luck per query only
            (as when an attack's random starts change).
        trusted: judge as if no spread of models were to be reckoned with.
        together: one quality per model, for all cells; else one per cell.
    """
    rng = np.random.default_rng(seed)
    fall = np.zeros(CELLS)
    fall[0] = shift_for(drop)
    red = []
    for start in range(0, tables, 100):
        block = min(100, tables - start)
        own = EASE + DIFFICULTY * rng.standard_normal((queries, block, CELLS))
        sides = []
        quality = QUALITY * rng.standard_normal((2, seeds, block, 1 if together else CELLS))
        if not retrained:
            quality[1] = quality[0]
        for side in range(2):
            ap = np.zeros_like(own)
            for model in range(seeds):
                luck = SINGLE * rng.standard_normal(own.shape)
                logits = own + quality[side, model] + luck + (fall if side else 0)
                ap += 1 / (1 + np.exp(-logits)) / seeds
            sides.append(100 * ap.reshape(queries, block * CELLS))
        means = [side.mean(0) for side in sides]
        levels = (means[0] + means[1]) / 2
        weight = 0.0 if trusted or not retrained else math.sqrt(2 / seeds)
        spread = [weight * SEED_STD["fna"] * level_factor(level) for level in levels]
        bounds = paired_bounds(
            sides[1] - sides[0],
            np.array(spread),
            degrees=DECLARED_DEGREES,
            level=LEVEL / (2 * CELLS),
            draws=draws_for(LEVEL / (2 * CELLS)),
            seed=start,
        )
        difference = means[1] - means[0]
        called = (difference < -MINIMUM) & (bounds.upper < 0)
        red.append(called.reshape(block, CELLS))
    return Tables(np.concatenate(red))


def test_what_is_simulated_is_what_was_measured() -> None:
    rng = np.random.default_rng(0)
    difficulty = EASE + DIFFICULTY * rng.standard_normal(400)
    logits = difficulty + SINGLE * rng.standard_normal((500, 400))
    logits += QUALITY * rng.standard_normal((500, 1))
    ap = 1 / (1 + np.exp(-logits))
    assert 100 * ap.mean() == pytest.approx(20, abs=2)
    single = (ap - ap.mean(0) - ap.mean(1, keepdims=True) + ap.mean()).std()
    assert single == pytest.approx(0.14, abs=0.02)
    between = math.sqrt(1e4 * ap.mean(1).var() - 1e4 * single**2 / 400)
    assert between == pytest.approx(SEED_STD["fna"] * 0.8, rel=0.1)
    assert np.median(ap) < 0.6 * ap.mean()
    assert population_mean(EASE + shift_for(5), _SCALE) == pytest.approx(15)


@pytest.mark.parametrize(
    "case",
    [
        {"queries": 140, "tables": 600},
        {"queries": 140, "tables": 600, "together": False},
        {"queries": 140, "tables": 300, "seeds": 3},
        {"queries": 140, "tables": 600, "retrained": False},
        {"queries": 700, "tables": 100},
    ],
    ids=str,
)
def test_at_most_one_table_in_a_hundred_is_red_where_nothing_changed(case: dict[str, Any]) -> None:
    assert simulate(**case).share <= 0.01


def test_the_simulation_sees_a_bound_that_is_too_tight() -> None:
    """Without the spread of models, retrained tables are red far more often."""
    assert simulate(queries=700, tables=100, trusted=True).share > 0.1


@pytest.mark.parametrize(
    ("case", "least", "most"),
    [
        ({"queries": 140, "seeds": 1, "drop": 5.0}, 0.05, 0.3),
        ({"queries": 140, "seeds": 3, "drop": 5.0}, 0.6, 1.0),
        ({"queries": 140, "seeds": 3, "drop": 5.0, "retrained": False}, 0.95, 1.0),
        ({"queries": 700, "seeds": 3, "drop": 2.0, "retrained": False}, 0.9, 1.0),
    ],
    ids=str,
)
def test_power_is_as_stated(case: dict[str, Any], least: float, most: float) -> None:
    assert least <= simulate(tables=100, **case).found <= most
