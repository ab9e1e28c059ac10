"""Regression on real runs: the same again, another seed, a third of the epochs; the plugin."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from benchbox.errors import BenchboxError
from benchbox.regression.baseline import make_baseline, read_baseline
from benchbox.regression.criteria import Criteria
from benchbox.regression.run import RegressOptions, regress
from benchbox.regression.verdict import compare_with_baseline
from benchbox.results.run_folder import read_run
from benchbox.runs.options import Options
from benchbox.runs.runner import run_grid
from tests.micro import make_micro_dataset, write_micro_grid

QUIET = Console(quiet=True)
TRUSTING = Criteria(trust_seeds=True)
"""The runs are of one machine, and a model of 54 steps scatters by more than it learns.

What the defaults say of a training that learns is the slow test's.
"""

SIDEWALK = """
name = "sidewalk"
datasets = ["sidewalk-a"]
sidewalk_size = "tiny"
backbones = ["small"]
pretrained = false
image_size = [64, 32]
defenses = ["origin"]
attacks = ["fna"]
budgets = ["8/255"]
steps = 2
[training]
optimizer = "adamw"
lr = 2e-3
schedule = "one_cycle"
clip_norm = 5.0
augmentation = { pad = 3, jitter = 0.1, erasing = 0.0 }
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("regress")


def grid_file(place: Path, name: str, *, epochs: int, seeds: list[int]) -> Path:
    file = write_micro_grid(
        place / f"{name}.toml", place / "micro", epochs=epochs, extra=f"seeds = {seeds}"
    )
    text = file.read_text().replace('"bs_ms", "adv_train"', '"bs_ms"')
    file.write_text(text.replace('"fna", "sma"', '"fna"').replace(', "10/255"', ""))
    return file


@pytest.fixture(scope="module")
def runs(place: Path) -> dict[str, Path]:
    """Runs of two rows, clean and under FNA, in one store."""
    make_micro_dataset(place / "micro", train=16, test=60)
    for name, epochs, seeds in (
        ("before", 9, [0, 1]),
        ("reseeded", 9, [2]),
        ("third", 3, [0, 1]),
    ):
        grid = grid_file(place, name, epochs=epochs, seeds=seeds)
        options = Options(workers=1, store=place / "store")
        assert not run_grid(grid, place / name, options, QUIET).failures
    return {name: place / name for name in ("before", "reseeded", "third")}


@pytest.fixture(scope="module")
def baseline(runs, place: Path) -> Path:
    file = place / "baselines" / "micro.json"
    assert regress(RegressOptions(baseline=file, run=runs["before"], update=True), QUIET) == 0
    return file


def test_a_baseline_holds_what_the_run_measured(runs, baseline: Path) -> None:
    made, run = read_baseline(baseline), read_run(runs["before"])
    assert len(made.cells) == 4
    assert sum(len(cell.seeds) for cell in made.cells) == len(run.results)
    rows = run.results.set_index(["defense", "attack", "seed"])
    for cell in made.cells:
        for result in cell.seeds:
            row = rows.loc[(cell.defense, cell.attack, result.seed)]
            assert (result.mAP, result.rank1) == (row["mAP"], row["rank1"])
            assert len(result.ap) == row["queries"] == 120
    weights = {result.weights for cell in made.cells for result in cell.seeds}
    assert len(weights) == 2  # both rows stand on one training a seed
    assert str(Path.home()) not in baseline.read_text()
    assert "/tmp" not in baseline.read_text()


def test_the_same_again_is_green(runs, baseline: Path, capsys) -> None:
    assert regress(RegressOptions(baseline=baseline, run=runs["before"]), Console(width=140)) == 0
    assert "all 4 cells are as they were" in capsys.readouterr().out


def test_reports_of_an_earlier_call_do_not_stay_behind(
    runs, baseline: Path, tmp_path: Path
) -> None:
    reports = {"junit": tmp_path / "r.xml", "markdown": tmp_path / "r.md"}
    assert regress(RegressOptions(baseline=baseline, run=runs["before"], **reports), QUIET) == 0
    assert all(report.is_file() for report in reports.values())
    with pytest.raises(BenchboxError):
        regress(RegressOptions(baseline=baseline, run=tmp_path, **reports), QUIET)
    assert reports["markdown"].read_text().startswith("🔴 **Not compared: ")
    assert 'errors="1"' in reports["junit"].read_text()


@pytest.mark.parametrize(
    ("where", "named"),
    [
        (".github/grids/ci.v2.toml", True),
        ("grids/ci.toml", True),
        ("my grids/ci.toml", False),
        ("grüße.toml", False),
    ],
)
def test_a_grid_may_lie_anywhere(
    runs, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, named: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    grid = tmp_path / where
    grid.parent.mkdir(parents=True, exist_ok=True)
    grid.write_text((place / "before.toml").read_text())
    made = RegressOptions(
        baseline=tmp_path / "baseline.json",
        grid=grid,
        out=tmp_path / "out",
        running=Options(workers=1, store=place / "store"),
        update=True,
    )
    assert regress(made, QUIET) == 0
    assert read_baseline(made.baseline).grid_file == (where if named else None)
    assert regress(replace(made, update=False), QUIET) == 0


def test_another_seed_is_green(runs, baseline: Path) -> None:
    assert regress(RegressOptions(baseline=baseline, run=runs["reseeded"]), QUIET) == 0
    found = compare_with_baseline(read_baseline(baseline), make_baseline(runs["reseeded"]))
    assert all(cell.model == "retrained" and cell.verdict != "same" for cell in found.cells)


@pytest.mark.slow
def test_by_the_defaults_another_seed_is_green_and_a_third_of_the_epochs_red(place: Path) -> None:
    """On Sidewalk, where a training of half a minute learns more than it scatters."""
    options, made = Options(workers=1, data_root=place, store=place / "stages"), {}
    for name, epochs, seed in (("before", 18, 0), ("reseeded", 18, 1), ("third", 6, 0)):
        grid = place / f"sidewalk-{name}.toml"
        top, _, training = SIDEWALK.partition("[training]")
        grid.write_text(f"{top}seeds = [{seed}]\n[training]\nepochs = {epochs}{training}")
        assert not run_grid(grid, grid.with_suffix(""), options, QUIET).failures
        made[name] = make_baseline(grid.with_suffix(""))
    other, third = (
        compare_with_baseline(made["before"], made[name]) for name in ("reseeded", "third")
    )
    assert other.ok
    assert other.cells[0].model == "retrained"
    assert {cell.place.condition.attack for cell in third.red} >= {"none"}
    assert "settings differ in: training" in " ".join(third.remarks)


def test_a_third_of_the_epochs_is_red_where_seeds_are_trusted(
    runs, baseline: Path, tmp_path: Path, capsys
) -> None:
    options = RegressOptions(
        baseline=baseline,
        run=runs["third"],
        junit=tmp_path / "junit.xml",
        markdown=tmp_path / "comment.md",
        criteria=TRUSTING,
    )
    assert regress(options, Console(width=140)) == 1
    assert "Robustness regressed in" in capsys.readouterr().out
    assert "<failure " in options.junit.read_text()
    assert "🔴" in options.markdown.read_text()


def test_a_grid_is_run_first(runs, baseline: Path, place: Path, tmp_path: Path) -> None:
    """Its stages are in the store already, so this takes no training."""
    options = RegressOptions(
        baseline=baseline,
        grid=place / "before.toml",
        out=tmp_path / "again",
        running=Options(workers=1, store=place / "store"),
    )
    assert regress(options, QUIET) == 0


def test_update_prints_what_it_changes(runs, baseline: Path, tmp_path: Path, capsys) -> None:
    file = tmp_path / "copy.json"
    shutil.copy(baseline, file)
    options = RegressOptions(baseline=file, run=runs["third"], update=True)
    assert regress(options, Console(width=140)) == 0
    out = capsys.readouterr().out
    assert "what the update changes" in out
    assert out.count("changed") >= 4
    assert read_baseline(file) == make_baseline(runs["third"])


def test_a_run_that_lacks_what_is_needed_is_refused(runs, baseline: Path, place: Path) -> None:
    copy = place / "copy"  # beside the store, which run.json names from the run's folder
    shutil.copytree(runs["before"], copy, ignore=shutil.ignore_patterns(".lock"))
    record = json.loads((copy / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps({**record, "store": "nowhere"}))
    with pytest.raises(BenchboxError, match="store"):
        regress(RegressOptions(baseline=baseline, run=copy), QUIET)
    (copy / "run.json").write_text(json.dumps({**record, "finished": None}))
    with pytest.raises(BenchboxError, match="not finished"):
        regress(RegressOptions(baseline=baseline, run=copy), QUIET)
    (copy / "run.json").write_text(json.dumps(record))
    lines = (copy / "results.csv").read_text().splitlines()
    forged = lines[1].split(",")
    forged[9] = "99.0"
    (copy / "results.csv").write_text("\n".join([lines[0], ",".join(forged), *lines[2:], ""]))
    with pytest.raises(BenchboxError, match=r"results\.csv has mAP 99\.0000, its queries give"):
        regress(RegressOptions(baseline=baseline, run=copy), QUIET)
    kept = [line for line in lines if ",bs_ms," not in line]
    (copy / "results.csv").write_text("\n".join([*kept, ""]))
    cells = {line.rpartition(",")[2] for line in kept}
    per_id = (copy / "per_id.csv").read_text().splitlines()
    kept_ids = [line for line in per_id if line.partition(",")[0] in cells]
    (copy / "per_id.csv").write_text("\n".join([*kept_ids, ""]))
    with pytest.raises(BenchboxError, match="lacks the cell") as error:
        regress(RegressOptions(baseline=baseline, run=copy), QUIET)
    assert error.value.exit_code == 2


def test_questions_that_make_no_sense_are_refused(runs, baseline: Path, tmp_path: Path) -> None:
    with pytest.raises(BenchboxError, match="names no grid"):
        regress(RegressOptions(baseline=baseline), QUIET)
    both = RegressOptions(baseline=baseline, run=runs["before"], grid=tmp_path / "x.toml")
    with pytest.raises(BenchboxError, match="exclude each other"):
        regress(both, QUIET)
    with pytest.raises(BenchboxError, match="no such file"):
        regress(RegressOptions(baseline=tmp_path / "none.json", run=runs["before"]), QUIET)


def test_the_plugin_fails_a_test_with_a_line_per_cell(runs, baseline: Path, tmp_path: Path) -> None:
    worse = tmp_path / "worse.json"
    assert regress(RegressOptions(baseline=worse, run=runs["third"], update=True), QUIET) == 0
    (tmp_path / "test_robust.py").write_text(
        f"""
before = {str(runs["before"])!r}

def test_good(robustness):
    comparison = robustness.require_no_regression({str(baseline)!r}, run={str(runs["before"])!r})
    assert comparison.ok

def test_bad(robustness):
    third = {str(runs["third"])!r}
    robustness.require_no_regression({str(baseline)!r}, run=third, trust_seeds=True)

def test_too_good(robustness):
    robustness.require_no_regression({str(worse)!r}, run=before, trust_seeds=True, two_sided=True)

def test_good_enough(robustness):
    robustness.require_no_regression({str(worse)!r}, run=before, trust_seeds=True)

def test_unusable(robustness):
    robustness.require_no_regression({str(baseline)!r}, run="nowhere")
"""
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", tmp_path],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert "2 passed" in done.stdout, done.stdout + done.stderr
    assert "3 failed" in done.stdout
    assert "Robustness rose beyond noise in" in done.stdout
    assert "Robustness regressed in" in done.stdout
    assert "no such folder" in done.stdout


def test_a_stricter_criterion_is_passed_on(runs, baseline: Path) -> None:
    options = RegressOptions(
        baseline=baseline,
        run=runs["third"],
        criteria=Criteria(minimum_effect=100.0, trust_seeds=True),
    )
    assert regress(options, QUIET) == 0
