"""[attack.<name>] in grids: what one attack has of its own, checked, in keys and in the record."""

import csv
import json
from pathlib import Path

import pytest
from rich.console import Console

from benchbox.errors import BenchboxError
from benchbox.leaderboard.board_protocol import read_protocol
from benchbox.leaderboard.on_protocol import grid_deviations
from benchbox.regression.baseline import make_baseline
from benchbox.regression.comparability import obstacles
from benchbox.results.run_folder import condition_of, read_run
from benchbox.runs.grid_file import read_grid
from benchbox.runs.options import Options
from benchbox.runs.plan import make_plan
from benchbox.runs.preview import plan_tables
from benchbox.runs.registry import Registry, load_registry
from benchbox.runs.runner import run_grid
from tests.micro import make_micro_dataset, write_micro_grid

MINIMAL = """
name = "mini"
datasets = ["sidewalk-a"]
defenses = ["origin", "bs_ms", "adv_train"]
backbones = ["small"]
pretrained = false
"""

OWN = """
[attack.sma]
steps = 2
step_size = "10/765"
own = "exclude"
"""


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry()


@pytest.fixture
def write(tmp_path: Path):
    def write_grid(text: str) -> Path:
        file = tmp_path / "my.toml"
        file.write_text(text)
        return file

    return write_grid


MOMENTUM = """
from dataclasses import dataclass
from typing import ClassVar

from attacks import FNA


@dataclass(frozen=True, kw_only=True)
class Momentum(FNA):
    '''FNA whose objective is scaled, so that it has a parameter of its own.'''

    name: ClassVar[str] = "momentum"
    title: ClassVar[str] = "Momentum"

    decay: float = 1.0

    def objective(self, embeddings, guides):
        return self.decay * super().objective(embeddings, guides)
"""


@pytest.fixture
def with_momentum(tmp_path: Path) -> Registry:
    (tmp_path / "momentum_attack.py").write_text(MOMENTUM)
    return load_registry([tmp_path / "momentum_attack.py"])


def planned(file: Path, registry: Registry):
    grid = read_grid(file, registry)
    return make_plan(grid, registry, {"sidewalk-a": "0" * 64}, where="my.toml")


def test_a_table_of_an_attack_changes_that_attack_alone(write, registry) -> None:
    base = planned(write(MINIMAL), registry)
    changed = planned(
        write(
            MINIMAL
            + "steps = 16\n[attack.sma]\n"
            + 'steps = 4\nstep_size = "2/255"\nown = "exclude"\ndistance = "euclidean"\n'
        ),
        registry,
    )
    sma = changed.attacks["sma"]
    assert (sma.steps, sma.step_size) == (4, 2 / 255)
    assert (sma.own, sma.distance) == ("exclude", "euclidean")
    assert changed.attacks["fna"] == base.attacks["fna"]
    for before, after in zip(base.cells, changed.cells, strict=True):
        assert (before.id == after.id) == (after.attack != "sma")
        if after.attack == "sma":
            assert after.overrides["attack"]["steps"] == 4
            assert after.rank.attacked.settings()["attack"]["steps"] == 4
        else:
            assert after.overrides == before.overrides


def test_a_parameter_of_a_plugin_attack_is_checked_and_in_its_key(write, with_momentum) -> None:
    head = MINIMAL + 'attacks = ["fna", "momentum"]\n'
    plans = [
        planned(write(head + table), with_momentum)
        for table in ("", "[attack.momentum]\ndecay = 0.5\n", "[attack.momentum]\ndecay = 2\n")
    ]
    assert [plan.attacks["momentum"].decay for plan in plans] == [1.0, 0.5, 2.0]
    cells = [{c.id for c in plan.cells if c.attack == "momentum"} for plan in plans]
    assert not cells[0] & cells[1]
    assert not cells[1] & cells[2]
    with pytest.raises(BenchboxError, match=r"\[attack\.momentum\]: decay: .*number, not \[1\]"):
        planned(write(head + "[attack.momentum]\ndecay = [1]\n"), with_momentum)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("stepz = 3", r"my\.toml: \[attack\.fna\]: unknown parameter 'stepz'\. Did you mean 'steps'\? Known: budgets, distance, own, step_size, steps\."),  # noqa: E501
        ('eps = "8/255"', r"\[attack\.fna\]: eps: give it by the grid's key 'budgets'"),
        ("generator = 3", r"\[attack\.fna\]: generator: give it by the grid's key 'seeds'"),
        ('steps = "3"', r"\[attack\.fna\]: steps: .*integer, not '3'"),
        ("steps = -1", r"\[attack\.fna\]: steps: expected a whole number from 0 up"),
        ('step_size = "8/0"', r"\[attack\.fna\]\.step_size: expected a fraction"),
        ('own = "all"', r"\[attack\.fna\]: own: .*'reference' or 'exclude', not 'all'"),
    ],
)  # fmt: skip
def test_a_fault_in_an_attacks_table_is_one_readable_line(write, registry, line, message) -> None:
    with pytest.raises(BenchboxError, match=message):
        planned(write(MINIMAL + f"[attack.fna]\n{line}\n"), registry)


def test_the_plan_says_what_one_attack_has_of_its_own(write, registry) -> None:
    plan = planned(write(MINIMAL + '[attack.sma]\nsteps = 4\nstep_size = "2/255"\n'), registry)
    console = Console(record=True, width=120)
    console.print(plan_tables(plan, {})[0])
    assert "sma: steps 4, step_size 2/255" in console.export_text()


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run whose attacks differ in steps and step size, of a network that is not trained."""
    place = tmp_path_factory.mktemp("own")
    micro = make_micro_dataset(place / "micro")
    file = write_micro_grid(place / "g.toml", micro, epochs=0)
    text = file.read_text().replace('["origin", "bs_ms", "adv_train"]', '["origin"]')
    file.write_text(text.replace("steps = 10", "steps = 3") + OWN)
    assert run_grid(file, place / "out", Options(workers=1), Console(quiet=True)).failures == []
    return place / "out"


def test_results_and_record_say_what_each_attack_really_did(run) -> None:
    with (run / "results.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    pace = {row["attack"]: (int(row["steps"]), float(row["step_size_255"])) for row in rows}
    assert pace == {"none": (0, 0.0), "fna": (3, 1.0), "sma": (2, 3.333333333)}
    record = json.loads((run / "run.json").read_text())
    own = {"steps": 2, "step_size": "10/765", "own": "exclude"}
    assert record["grid"]["attack"] == {"sma": own}
    for row in rows:
        changed = record["cells"][row["cell"]]["overrides"]
        assert changed.get("attack") == (own if row["attack"] == "sma" else None)
    for file in run.glob("store/attack-*/stage.json"):
        stage = json.loads(file.read_text())
        expected = 2 if stage["title"].startswith("sma") else 3
        assert stage["settings"]["attack"]["steps"] == expected


def test_the_planned_columns_are_those_that_were_measured(run) -> None:
    """Else a table would have empty columns for what the grid's other keys say."""
    found = read_run(run)
    measured = {condition_of(row) for row in found.results.to_dict("records")}
    assert set(found.record.names.conditions) == measured


def test_a_board_takes_no_attack_that_was_changed(registry) -> None:
    protocol = read_protocol(Path("leaderboards/sidewalk-tiny"))
    grid = read_grid(Path("grids/demo.toml"), registry)
    before = grid_deviations(grid, protocol)
    changed = grid.model_copy(update={"attack": {"sma": {"own": "exclude"}}})
    assert set(grid_deviations(changed, protocol)) - set(before) == {
        "attack sma: the run changes own, the protocol nothing"
    }


def test_a_baseline_of_other_attack_settings_is_no_yardstick(run) -> None:
    baseline = make_baseline(run)
    plain = {key: value for key, value in baseline.grid.items() if key != "attack"}
    assert obstacles(baseline, baseline) == []
    without = baseline.model_copy(update={"grid": plain})
    assert "the grid's [attack.<name>] tables differ" in obstacles(without, baseline)
    empty = baseline.model_copy(update={"grid": {**plain, "attack": {}}})
    assert obstacles(without, empty) == [], "baselines of before have no such key"
