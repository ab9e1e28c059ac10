"""A run beside its baseline: bounds against naive loops, verdicts, refusals, reports."""

import json
import math
import random
import statistics
import xml.dom.minidom
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from scipy import stats

from benchbox.errors import BenchboxError
from benchbox.regression import run as regression_run
from benchbox.regression.baseline import label, read_baseline, write_baseline
from benchbox.regression.baseline_record import Baseline, BaselineCell
from benchbox.regression.comparability import obstacles
from benchbox.regression.comparison import Comparison
from benchbox.regression.criteria import Criteria
from benchbox.regression.report import (
    caption,
    comparison_table,
    in_words,
    update_table,
    verdict_line,
)
from benchbox.regression.report_files import to_junit, to_markdown
from benchbox.regression.seed_noise import (
    DECLARED_DEGREES,
    OTHER_ATTACKS,
    SEED_STD,
    UNMEASURED,
    level_factor,
    model_variance,
    retraining_weight,
    seed_noise,
)
from benchbox.regression.verdict import compare_with_baseline, verdict_of
from benchbox.results.conditions import Condition
from benchbox.statistics.paired_bootstrap import draws_for, paired_bounds
from benchbox.tables.as_text import escape_markdown
from benchbox.untrusted.json import as_record
from tests.made_baselines import made_baseline, made_content, sha256

# --- the bounds


def test_bootstrap_agrees_with_a_loop_over_identities() -> None:
    draw = np.random.default_rng(0)
    pids = draw.permutation(np.repeat(np.arange(30), np.arange(30) % 4 + 1))
    differences = draw.gamma(0.5, 4, 30)[pids] + draw.gamma(0.5, 2, len(pids)) - 3  # skewed
    level, draws = 0.01, 20_000
    found = paired_bounds(
        differences[:, None], pids, np.zeros(1), degrees=30, level=level, draws=draws, seed=0
    )
    of = {pid: differences[pids == pid].tolist() for pid in range(30)}
    mean, loop, means = statistics.fmean(differences.tolist()), random.Random(1), []
    for _ in range(draws):
        taken = [value for pid in loop.choices(range(30), k=30) for value in of[pid]]
        chi_squared = loop.gammavariate(29 / 2, 2)
        means.append(mean + math.sqrt(30 / chi_squared) * (statistics.fmean(taken) - mean))
    means.sort()
    assert found.upper[0] - mean == pytest.approx(means[-200] - mean, rel=0.05)
    assert found.lower[0] - mean == pytest.approx(means[199] - mean, rel=0.05)
    assert found.upper[0] - mean > 1.1 * (mean - found.lower[0])


def test_bound_of_normal_identities_is_students() -> None:
    """Each identity has the same differences throughout: as many numbers as there are persons."""
    values = stats.norm.ppf((np.arange(25) + 0.5) / 25)
    pids = np.repeat(np.arange(25), 4)
    found = paired_bounds(
        values[pids][:, None], pids, np.zeros(1), degrees=9, level=0.002, draws=200_000, seed=0
    )
    theirs = stats.ttest_1samp(values, 0).confidence_interval(1 - 2 * 0.002)
    assert found.upper[0] == pytest.approx(theirs.high, rel=0.05)
    assert found.lower[0] == pytest.approx(theirs.low, rel=0.05)


def test_spread_of_retraining_adds_students_t() -> None:
    nothing = np.full((50, 2), -1.5)
    found = paired_bounds(
        nothing, np.arange(50), np.array([0.0, 2.0]), degrees=24, level=0.01, draws=100_000, seed=0
    )
    assert found.upper[0] == found.lower[0] == -1.5
    expected = 2 * stats.t.ppf(0.99, 24)
    assert found.upper[1] == pytest.approx(-1.5 + expected, rel=0.02)
    assert found.lower[1] == pytest.approx(-1.5 - expected, rel=0.02)


def test_bounds_do_not_depend_on_what_is_beside_them() -> None:
    differences = np.random.default_rng(3).normal(0, 10, (200, 40))
    spread, pids = np.linspace(0, 3, 40), np.arange(200) // 3
    both = [
        paired_bounds(d, pids, s, degrees=22, level=0.001, draws=20_000, seed=5)
        for d, s in ((differences, spread), (differences[:, 7:8], spread[7:8]))
    ]
    assert both[0].upper[7] == pytest.approx(both[1].upper[0], abs=1e-3)


def test_draws_leave_enough_beyond_the_bound() -> None:
    assert draws_for(0.01) == 20_000
    assert draws_for(0.01 / 56) * 0.01 / 56 >= 20
    assert draws_for(0.01 / 2_000) == 200_000


# --- the noise of retraining


def by_hand(cell: BaselineCell, pids: Sequence[int]) -> float:
    """Return s² less the queries' part at an mAP of 50%, in plain Python."""
    table = [[100 * value for value in result.ap] for result in cell.seeds]
    models, queries = [statistics.fmean(row) for row in table], len(table[0])
    of_query = [statistics.fmean(column) for column in zip(*table, strict=True)]
    mean = statistics.fmean(models)
    part = 0.0
    for m in range(len(models)):
        for pid in set(pids):
            own = [q for q in range(queries) if pids[q] == pid]
            part += sum(table[m][q] - models[m] - of_query[q] + mean for q in own) ** 2
    count = len(set(pids))
    part *= count / (count - 1) / (len(models) - 1) / queries**2
    level = mean / 100
    return (statistics.variance(models) - part) / (4 * level * (1 - level))


def test_declared_and_measured_variance_are_pooled_by_their_degrees_of_freedom() -> None:
    baseline = made_baseline(seeds=(0, 1, 2), retraining=0.03, defenses=("origin", "das", "ddd"))
    noise = seed_noise(baseline)
    assert noise.degrees_measured == 6  # three models of three trainings
    larger = 0
    for attack in ("none", "fna", "sma"):
        cells = [cell for cell in baseline.cells if cell.attack == attack]
        variances = [by_hand(cell, baseline.pids[cell.test]) for cell in cells]
        mean = max(statistics.fmean(variances), 0)
        declared = (UNMEASURED * SEED_STD[attack]) ** 2
        pooled = (DECLARED_DEGREES * declared + 6 * mean) / (DECLARED_DEGREES + 6)
        for cell, own in zip(cells, variances, strict=True):
            larger += own > pooled
            expected = math.sqrt(max(pooled, own))
            assert noise.std(cell.place, 50) == pytest.approx(expected, rel=1e-3)
            assert noise.std(cell.place, 20) == pytest.approx(0.8 * expected, rel=1e-3)
    assert 0 < larger < 9  # both branches were taken


def test_the_part_of_single_queries_is_taken_out() -> None:
    """With no spread of models, s² is the queries' part on average, and the estimate is 0."""
    found = []
    for start in range(0, 120, 3):
        baseline = made_baseline(seeds=(start, start + 1, start + 2), retraining=0.0, queries=60)
        found += [model_variance(cell, baseline.pids[cell.test]) for cell in baseline.cells]
    spread = 100**2 * 0.05**2 / 60
    assert abs(statistics.fmean(found)) < 4 * spread / math.sqrt(len(found))
    assert min(found) < 0


def test_queries_that_agree_are_no_spread_of_models() -> None:
    """A model's luck is with whole identities: taken for single queries it would look like A."""
    draw, found, naive = np.random.default_rng(0), [], []
    pids = np.arange(120) // 4
    cell = made_baseline(seeds=(0, 1, 2), queries=120).cells[0]
    for _ in range(200):
        luck = 0.05 * draw.standard_normal((3, 30))[:, pids]
        ap = 0.5 + luck
        seeds = tuple(
            result.model_copy(update={"ap": tuple(row), "mAP": 100 * row.mean()})
            for result, row in zip(cell.seeds, ap, strict=True)
        )
        drawn = cell.model_copy(update={"seeds": seeds})
        found.append(model_variance(drawn, pids.tolist()))
        naive.append(model_variance(drawn, range(120)))
    spread = 100**2 * 0.05**2 / 30
    assert abs(statistics.fmean(found)) < 4 * spread / math.sqrt(len(found))
    assert statistics.fmean(naive) > 0.6 * spread


def test_guards_on_one_model_count_it_once() -> None:
    def shared(dataset: str, defense: str, seed: int) -> str:
        return sha256(f"{dataset}{seed}")

    assert seed_noise(made_baseline(seeds=(0, 1, 2), weights=shared)).degrees_measured == 2


def test_one_seed_leaves_what_is_declared() -> None:
    baseline = made_baseline(seed_std={"sma": 0.4})
    noise, places = seed_noise(baseline), {cell.attack: cell.place for cell in baseline.cells}
    assert noise.std(places["fna"], 50) == pytest.approx(UNMEASURED * SEED_STD["fna"])
    assert noise.std(places["sma"], 50) == pytest.approx(0.4)
    mine = places["fna"]._replace(condition=Condition("mine", 8.0, 16, 1.0))
    assert noise.std(mine, 50) == pytest.approx(UNMEASURED * OTHER_ATTACKS)
    assert noise.degrees == DECLARED_DEGREES
    assert level_factor(0) == level_factor(1) == pytest.approx(level_factor(100))
    assert level_factor(0) < 0.2


def test_declared_spread_is_an_upper_value_of_what_was_measured() -> None:
    place = ["train_dataset", "test_dataset", "backbone", "defense", "attack", "eps_255", "steps"]
    key = [*place, "protocol"]
    files = sorted(Path("leaderboards/measured").glob("*/results.csv"))
    grids = {file: json.loads((file.parent / "run.json").read_text())["grid"] for file in files}
    results = pd.concat(
        pd.read_csv(file).assign(protocol=grid.get("training_protocol", "before protocols"))
        for file, grid in grids.items()
        # Models of the tiny size have one seed, and are others than those of the small one.
        if grid["sidewalk_size"] == "small"
    )
    results = results.drop_duplicates([*key, "seed"])
    # The seeds of a hardened model go on from the same weights, and scatter less.
    results = results[results["backbone"] != "small_net"]
    # The tables' budgets: where a curve falls steeply, as at 2/255, models scatter more.
    results = results[results["eps_255"].isin([0, 8, 10]) & results["attack"].isin(SEED_STD)]
    cells = results.groupby(key)["mAP"].agg(["mean", "std"]).reset_index().dropna()
    cells = cells[cells["mean"] > 2]
    cells["scaled"] = cells["std"] / cells["mean"].map(level_factor)
    for attack, rows in cells.groupby("attack"):
        measured = math.sqrt((rows["scaled"] ** 2).mean())
        assert measured < SEED_STD[attack] * 1.01
        assert measured > SEED_STD[attack] / 1.7


@pytest.mark.parametrize(
    ("old", "new", "trust", "expected"),
    [
        ((0,), (0,), False, 0.0),
        ((0,), (1,), False, math.sqrt(2)),
        ((0, 1), (0, 1), False, 0.0),
        ((0, 1), (2, 3), False, 1.0),
        ((0, 1), (0,), False, math.sqrt(0.5)),
    ],
)
def test_models_on_both_sides_cancel(old: Any, new: Any, trust: bool, expected: float) -> None:
    pair = [made_baseline(seeds=seeds).cells[0] for seeds in (old, new)]
    assert retraining_weight(*pair, trust_seeds=trust) == pytest.approx(expected)


def test_the_same_seed_with_other_weights_is_a_retraining_unless_seeds_are_trusted() -> None:
    old = made_baseline()
    new = made_baseline(weights=lambda *key: sha256(f"other{key}"))
    pair = old.cells[0], new.cells[0]
    assert retraining_weight(*pair, trust_seeds=False) == pytest.approx(math.sqrt(2))
    assert retraining_weight(*pair, trust_seeds=True) == 0
    assert all(cell.model == "retrained" for cell in compare_with_baseline(old, new).cells)


def test_a_given_model_is_judged_as_it_is() -> None:
    """A fall of two points on 40 queries: chance for a recipe, a change of a given model."""

    def fallen(made_by: str) -> Comparison:
        def made(points: float, weights: str) -> Baseline:
            content = made_content(
                queries=40,
                identities=20,
                shift=lambda defense, attack: -points / 100,
                weights=lambda *key: sha256(f"{weights}{key}"),
            )
            for cell in content["cells"]:
                cell["made_by"] = made_by
            return as_record(content, Baseline, where="made")

        return compare_with_baseline(made(0, "old"), made(2, "new"))

    trained, given = fallen("train"), fallen("given")
    assert {cell.verdict for cell in trained.cells} == {"within noise"}
    assert {cell.model for cell in trained.cells} == {"retrained"}
    assert {cell.verdict for cell in given.cells} == {"regressed"}
    assert {cell.model for cell in given.cells} == {"exchanged"}
    for cell in given.cells:
        assert cell.lower == cell.upper == pytest.approx(cell.difference)
        assert cell.difference == pytest.approx(-2, abs=0.1)
    assert "declares no seed_std" in caption(trained)
    assert "6 cells are of given models, 6 with other tensors" in caption(given)
    assert "declares no seed_std" not in caption(given)
    assert "spread of retraining is" not in caption(given)


# --- verdicts


@pytest.mark.parametrize(
    ("difference", "lower", "upper", "verdict"),
    [
        (-2.0, -3.0, -0.1, "regressed"),
        (-2.0, -4.1, 0.1, "within noise"),
        (-1.0, -1.1, -0.9, "within noise"),  # certain, but not above the minimum effect
        (2.0, 0.1, 3.0, "improved"),
        (2.0, -0.1, 4.1, "within noise"),
        (0.0, 0.0, 0.0, "same"),
    ],
)
def test_verdict_needs_a_bound_and_a_size(difference, lower, upper, verdict) -> None:
    assert verdict_of(difference, lower, upper, minimum_effect=1.0) == verdict


def test_an_unchanged_rerun_is_green() -> None:
    found = compare_with_baseline(made_baseline(), made_baseline())
    assert found.ok
    assert {cell.verdict for cell in found.cells} == {"same"}
    assert verdict_line(found) == "No regression: all 6 cells are as they were."


def test_another_seed_is_green() -> None:
    old = made_baseline(seeds=(0, 1))
    for seed in range(2, 12):
        found = compare_with_baseline(old, made_baseline(seeds=(seed,)))
        assert found.ok, seed
        assert all(cell.model == "retrained" for cell in found.cells)


def test_a_fall_is_red_and_only_where_it_is() -> None:
    new = made_baseline(seeds=(5, 6), shift=lambda d, a: -0.2 if (d, a) == ("ddd", "fna") else 0.0)
    found = compare_with_baseline(made_baseline(seeds=(0, 1)), new)
    (cell,) = found.having("regressed")
    assert (cell.place.defense, cell.place.condition.attack) == ("ddd", "fna")
    assert -24 < cell.difference < -16
    assert cell.upper < 0
    assert verdict_line(found) == "Robustness regressed in 1 of 6 cells."


def test_two_points_are_red_where_nothing_was_retrained() -> None:
    """The same weights, and a change in what stands before them or in the attack."""
    new = made_baseline(shift=lambda d, a: -0.02 if a == "fna" else 0.0)
    assert len(compare_with_baseline(made_baseline(), new).having("regressed")) == 2
    assert compare_with_baseline(made_baseline(), new, Criteria(minimum_effect=2.5)).ok


def test_a_gain_is_reported_and_green() -> None:
    found = compare_with_baseline(
        made_baseline(), made_baseline(shift=lambda d, a: 0.05 * (a == "sma"))
    )
    assert found.ok
    assert {cell.place.condition.attack for cell in found.having("improved")} == {"sma"}
    assert verdict_line(found) == "No regression in 6 cells; 2 improved."


def test_two_sided_a_gain_is_red_and_every_report_says_so() -> None:
    """As where a pull request breaks an attack."""
    old, new = made_baseline(), made_baseline(shift=lambda d, a: 0.05 * (a == "sma"))
    found = compare_with_baseline(old, new, Criteria(two_sided=True))
    assert not found.ok
    assert found.red == found.having("improved")
    assert verdict_line(found).startswith("Robustness rose beyond noise in 2 of 6 cells")
    assert "🔴" in to_markdown(found)
    assert "A gain beyond noise is red too" in to_markdown(found)
    document = xml.dom.minidom.parseString(to_junit(found))
    assert len(document.getElementsByTagName("failure")) == 2
    assert all(f"at least +{cell.lower:.2f}" in in_words(cell) for cell in found.red)
    assert compare_with_baseline(old, old, Criteria(two_sided=True)).ok


def test_an_error_rate_that_no_number_of_draws_resolves_is_refused() -> None:
    old = made_baseline()
    assert compare_with_baseline(old, old, Criteria(level=6e-5)).ok
    with pytest.raises(BenchboxError, match=r"over 6 cells is finer .* at least 6e-05"):
        compare_with_baseline(old, old, Criteria(level=5e-5))


def test_compare_uses_the_bounds_of_its_cells() -> None:
    old, new = made_baseline(seeds=(0, 1)), made_baseline(seeds=(4,))
    found = compare_with_baseline(old, new, Criteria(level=0.12))
    noise = seed_noise(old)
    for cell, before, after in zip(found.cells, old.cells, new.cells, strict=True):
        difference = np.array(after.seeds[0].ap) - np.mean([r.ap for r in before.seeds], 0)
        spread = math.sqrt(1.5) * noise.std(before.place, (before.mAP + after.mAP) / 2)
        own = paired_bounds(
            100 * difference[:, None], np.arange(140) % 40, np.array([spread]),
            degrees=DECLARED_DEGREES + 2, level=0.01, draws=20_000, seed=9,
        )  # fmt: skip
        assert cell.upper == pytest.approx(float(own.upper[0]), abs=0.4)
        assert cell.difference == pytest.approx(100 * difference.mean(), abs=0.01)


def test_several_datasets_have_their_own_queries() -> None:
    old = made_baseline(datasets=("sidewalk-a", "sidewalk-b"))
    assert len(compare_with_baseline(old, old).cells) == 12


# --- refusals


def test_what_cannot_be_compared_is_listed() -> None:
    old = made_baseline()
    content = made_content(
        defenses=("origin",), ap_convention="step", grid={"guides": "exclude"},
        datasets=("sidewalk-a",),
    )  # fmt: skip
    content["datasets"]["sidewalk-a"] = sha256("another")
    content["queries"]["sidewalk-a"][0] = "query/other.jpg"
    new = Baseline.model_validate(content)
    lines = obstacles(old, new)
    assert len(lines) == 4 + 3
    with pytest.raises(BenchboxError) as error:
        compare_with_baseline(old, new)
    assert error.value.exit_code == 2
    for part in ("step, not trapezoid", "guides is 'exclude'", "digest differs", "other queries",
                 "lacks the cell sidewalk-a, small, ddd, fna 8/255-16"):  # fmt: skip
        assert part in str(error.value)


def test_other_budgets_and_steps_are_missing_cells() -> None:
    content = made_content()
    for cell in content["cells"]:
        if cell["attack"] == "fna":
            cell["steps"] = 8
    assert len(obstacles(made_baseline(), Baseline.model_validate(content))) == 2


def test_other_identities_and_a_single_one_are_refused() -> None:
    assert obstacles(made_baseline(), made_baseline(identities=39)) == [
        "sidewalk-a has other identities"
    ]
    alone = made_baseline(identities=1)
    (line,) = obstacles(alone, alone)
    assert line.startswith("sidewalk-a has queries of one identity")
    few = made_baseline(identities=29)
    assert "queries of 29 identities: the bounds are rough" in " ".join(
        compare_with_baseline(few, few).remarks
    )


def test_another_training_is_compared_and_remarked() -> None:
    new = made_baseline(grid={"training": {"epochs": 2}}, defenses=("origin", "ddd", "das"))
    remarks = " ".join(compare_with_baseline(made_baseline(), new).remarks)
    assert "settings differ in: training" in remarks
    assert "3 cells of the run are not in the baseline" in remarks


def test_a_baseline_of_another_version_is_remarked() -> None:
    old = made_baseline(benchbox="0.0.9")
    (line,) = [x for x in compare_with_baseline(old, made_baseline()).remarks if "0.0.9" in x]
    assert "measured by benchbox 0.0.9, the run by 0.1.0" in line
    unnamed = compare_with_baseline(made_baseline(benchbox=""), made_baseline()).remarks
    assert "measured by benchbox (not named), the run by 0.1.0" in " ".join(unnamed)
    same = compare_with_baseline(made_baseline(), made_baseline()).remarks
    assert "measured by" not in " ".join(same)


@pytest.mark.parametrize(
    ("old", "new", "reasons"),
    [
        (made_baseline(), made_baseline(defenses=("origin",)), 3),
        (made_baseline(), made_baseline(identities=39), 1),
        (made_baseline(defenses=[f"defense{n:04}" for n in range(666)], queries=1, identities=1),
         made_baseline(defenses=["defense0000"], queries=1, identities=1), 1996),
    ],
)  # fmt: skip
def test_reports_say_why_nothing_was_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: Baseline, new: Baseline, reasons: int
) -> None:
    monkeypatch.setattr(regression_run, "_measured", lambda *_: new)
    write_baseline(tmp_path / "old.json", old)
    options = regression_run.RegressOptions(
        baseline=tmp_path / "old.json",
        run=tmp_path,
        junit=tmp_path / "j.xml",
        markdown=tmp_path / "m.md",
    )
    with pytest.raises(BenchboxError) as raised:
        regression_run.regress(options, Console(quiet=True))
    assert raised.value.exit_code == 2
    listed = [line.strip() for line in str(raised.value).splitlines()[1:]]
    assert len(listed) == reasons
    suites = ET.fromstring((tmp_path / "j.xml").read_bytes())
    assert suites.get("errors") == suites.get("tests") == str(reasons)
    assert suites.get("failures") == "0"
    cases = list(suites.iter("testcase"))
    assert [case.get("name") for case in cases] == listed
    assert all(case.find("error") is not None for case in cases)
    comment = (tmp_path / "m.md").read_text()
    assert comment.startswith("🔴 **Not compared: the run cannot be held against the baseline")
    assert len(comment) < 65_536
    assert escape_markdown(listed[0]) in comment


def test_criteria_out_of_range_are_refused() -> None:
    for fault in ({"level": 0.0}, {"level": 0.5}, {"minimum_effect": -1.0}):
        with pytest.raises(BenchboxError, match="expected a minimum effect"):
            Criteria(**fault)


# --- the file


def test_a_baseline_survives_writing_and_its_diff_is_by_line(tmp_path: Path) -> None:
    file, baseline = tmp_path / "baselines" / "made.json", made_baseline(seeds=(0, 1))
    write_baseline(file, baseline)
    assert read_baseline(file) == baseline
    before = file.read_text().splitlines()
    write_baseline(file, made_baseline(seeds=(0, 2)))
    after = file.read_text().splitlines()
    assert len(before) == len(after)
    assert sum(a != b for a, b in zip(before, after, strict=True)) == 6  # a line a cell
    assert len(json.loads(file.read_text())["cells"]) == 6


def first_seed(content: dict[str, Any]) -> dict[str, Any]:
    return content["cells"][0]["seeds"][0]


HOSTILE: dict[str, Any] = {
    "schema of the future": lambda c: c.update(schema=2),
    "unknown key": lambda c: c.update(extra=1),
    "no cells": lambda c: c.update(cells=[]),
    "mAP as text": lambda c: first_seed(c).update(mAP="50"),
    "mAP as truth": lambda c: first_seed(c).update(mAP=True),
    "mAP that its queries do not have": lambda c: first_seed(c).update(mAP=99.0),
    "ap above 1": lambda c: first_seed(c)["ap"].__setitem__(0, 1.5),
    "ap missing": lambda c: first_seed(c)["ap"].pop(),
    "too many APs": lambda c: first_seed(c).update(ap=[0.5] * 20_001, mAP=50.0),
    "seed as fraction": lambda c: first_seed(c).update(seed=0.5),
    "weights that are no digest": lambda c: first_seed(c).update(weights="../../etc/passwd"),
    "seed twice": lambda c: c["cells"][0]["seeds"].append(first_seed(c)),
    "cell twice": lambda c: c["cells"].append(c["cells"][0]),
    "clean with a budget": lambda c: c["cells"][0].update(eps_255=8.0),
    "markup as a name": lambda c: c["cells"][0].update(defense="<img src=x>"),
    "newline in a name": lambda c: c["cells"][0].update(defense="a\n"),
    "grid outside the project": lambda c: c.update(grid_file="../../grid.toml"),
    "absolute grid": lambda c: c.update(grid_file="/tmp/grid.toml"),
    "no digest of a dataset": lambda c: c.update(datasets={"other": sha256("x")}),
    "query key twice": lambda c: c["queries"].update({"sidewalk-a": ["a"] * 140}),
    "identity missing": lambda c: c["pids"]["sidewalk-a"].pop(),
    "identity as text": lambda c: c["pids"]["sidewalk-a"].__setitem__(0, "1"),
    "identities of no dataset": lambda c: c.update(pids={}),
    "junk as an identity": lambda c: c["pids"]["sidewalk-a"].__setitem__(0, -1),
    "queries without cells' dataset": lambda c: c.update(queries={"other": ["a"]}),
    "absurd seed_std": lambda c: c.update(seed_std={"fna": 1e9}),
    "negative seed_std": lambda c: c.update(seed_std={"fna": -1.0}),
    "commit that is none": lambda c: c.update(commit="HEAD; rm -rf"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_baseline_is_refused_in_one_line(tmp_path: Path, what: str) -> None:
    content = made_content()
    HOSTILE[what](content)
    file = tmp_path / "hostile.json"
    file.write_text(json.dumps(content))
    with pytest.raises(BenchboxError) as error:
        read_baseline(file)
    assert error.value.exit_code == 2
    assert "hostile.json" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"schema": 1, "schema": 1}', "NaN", "[" * 100_000, '{"a": 1e999}', "\udcff"],
)
def test_broken_json_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "broken.json"
    file.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(BenchboxError, match=r"broken\.json"):
        read_baseline(file)


def test_nan_in_the_middle_is_refused(tmp_path: Path) -> None:
    content = made_content()
    first_seed(content)["ap"][3] = math.nan
    file = tmp_path / "nan.json"
    file.write_text(json.dumps(content))
    with pytest.raises(BenchboxError, match="NaN"):
        read_baseline(file)


def test_a_datasets_folder_does_not_name_the_machine() -> None:
    assert label("market1501") == "market1501"
    assert label("path:/home/somebody/my data/mine (2)") == "path:mine__2_"


# --- reports


def fallen() -> Any:
    return compare_with_baseline(
        made_baseline(seeds=(0, 1), name="a__b"),
        made_baseline(seeds=(0, 1), name="a__b", shift=lambda d, a: -0.1 * (d == "ddd")),
    )


def test_table_has_a_row_a_cell_and_marks_what_changed() -> None:
    comparison = fallen()
    table = comparison_table(comparison)
    assert len(table.rows) == 6
    bold = [row for row in table.rows if row[-1].bold]
    assert [row[2].text for row in bold] == ["ddd"] * 3
    for row, cell in zip(table.rows, comparison.cells, strict=True):
        old, new, difference = (float(row[column].text) for column in (5, 6, 7))
        assert difference == pytest.approx(new - old, abs=0.011)
        assert float(row[8].text) == pytest.approx(cell.upper, abs=0.006)
    assert "median cell is seen to regress from" in table.caption


def test_junit_is_read_back_with_a_failure_per_regression() -> None:
    comparison = fallen()
    document = xml.dom.minidom.parseString(to_junit(comparison))
    (suite,) = document.getElementsByTagName("testsuite")
    assert (suite.getAttribute("tests"), suite.getAttribute("failures")) == ("6", "3")
    cases = document.getElementsByTagName("testcase")
    assert len({(c.getAttribute("classname"), c.getAttribute("name")) for c in cases}) == 6
    failures = document.getElementsByTagName("failure")
    assert len(failures) == 3
    for failure in failures:
        assert failure.parentNode.getAttribute("classname").endswith(".ddd")
        assert "regressed" in failure.getAttribute("message")


def test_markdown_is_short_escaped_and_folds_the_rest() -> None:
    text = to_markdown(fallen())
    head, _, rest = text.partition("<details>")
    assert "🔴 **Robustness regressed in 3 of 6 cells.**" in head
    assert head.count("| regressed |") + head.count("**regressed** |") == 3
    assert "within noise" not in head.split("In %")[0].replace("mAP in %", "")
    assert rest.count("</details>") == 1
    assert r"### a\_\_b" in rest  # what would be bold
    assert "🟢" in to_markdown(compare_with_baseline(made_baseline(), made_baseline()))


def test_markdown_escapes_the_run_s_settings() -> None:
    """A setting's name comes from the run's grid, which nobody has checked for markup."""
    evil = "<script>alert(1)</script> | [x](http://y) `z`"
    comparison = compare_with_baseline(made_baseline(), made_baseline(grid={evil: 1}))
    assert evil in " ".join(comparison.remarks)
    text = to_markdown(comparison)
    assert "<script" not in text
    assert "](http" not in text.replace("\\]", "")


def test_a_comment_stays_below_githubs_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    comparison = compare_with_baseline(made_baseline(), made_baseline())
    assert "</details>" in to_markdown(comparison)
    monkeypatch.setattr("benchbox.regression.report_files._MOST_MARKDOWN", 1_000)
    text = to_markdown(comparison)
    assert "</details>" not in text
    assert "too long for a comment" in text


def test_update_table_lists_what_is_added_removed_and_changed() -> None:
    old = made_baseline(defenses=("origin", "ddd"))
    new = made_baseline(defenses=("ddd", "das"), seeds=(1,))
    rows = {(row[2].text, row[-1].text) for row in update_table(old, new).rows}
    assert rows == {("origin", "removed"), ("das", "added"), ("ddd", "changed")}
    assert {row[-1].text for row in update_table(None, new).rows} == {"added"}
    assert {row[-1].text for row in update_table(new, new).rows} == {"same"}
