"""The preparing stage: planned once for what determines it, made before training, found again."""

import csv
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from safetensors.torch import load_file

from benchbox.data.protocol import ImageRecord
from benchbox.runs.grid_file import read_grid
from benchbox.runs.plan import Plan, make_plan
from benchbox.runs.registry import load_registry
from benchbox.runs.stages import PrepareStage, TrainStage
from benchbox.training.preparation import Ingredients, Preparation
from benchbox.training.training_set import TrainingSet
from defenses import AdversarialMetricDefense, Defense
from tests.micro import make_micro_dataset, write_micro_grid


@pytest.fixture(scope="module")
def grid(tmp_path_factory) -> Path:
    """Origin and AMD on the micro dataset with two seeds."""
    dataset = make_micro_dataset(tmp_path_factory.mktemp("data") / "micro", train=4, test=3)
    file = tmp_path_factory.mktemp("grid") / "micro.toml"
    write_micro_grid(file, dataset, epochs=1, extra="seeds = [0, 1]")
    text = file.read_text().replace('"origin", "bs_ms", "adv_train"', '"origin", "amd"')
    text = text.replace('"fna", "sma"', '"fna"').replace("steps = 10", "steps = 1")
    text = text.replace('"8/255", "10/255"', '"8/255"')
    text += "[recipe.amd.examples]\nsteps = 3\neps = '2/255'\n"
    file.write_text(text)
    return file


def plan_of(grid: Path, **defenses: Defense) -> Plan:
    registry = load_registry()
    registry = replace(registry, defenses={**registry.defenses, **defenses})
    read = read_grid(grid, registry)
    read = read.model_copy(update={"defenses": [*read.defenses, *defenses]})
    return make_plan(read, registry, {read.datasets[0]: "0" * 64}, where=str(grid))


def prepared(plan: Plan) -> list[PrepareStage]:
    return [stage for stage in plan.stages if isinstance(stage, PrepareStage)]


def trained(plan: Plan, recipe: str) -> list[TrainStage]:
    stages = [stage for stage in plan.stages if isinstance(stage, TrainStage)]
    return [stage for stage in stages if stage.recipe.name == recipe]


@dataclass(frozen=True, kw_only=True)
class Nothing(Preparation):
    """Needs no model, and makes a file that changes nothing."""

    title: ClassVar[str] = "nothing"

    number: int = 0

    @property
    def cost(self) -> float:
        return 1

    def make(self, given: Ingredients, folder: Path) -> None:
        (folder / "nothing").write_text(str(self.number))

    def training_set(
        self, records: Sequence[ImageRecord], data: TrainingSet, folder: Path
    ) -> TrainingSet:
        return data


@dataclass(frozen=True, kw_only=True)
class Idle(AdversarialMetricDefense):
    """AMD's losses behind another preparation."""

    name: ClassVar[str] = "idle"

    nothing: Nothing = Nothing()

    @property
    def preparation(self) -> Preparation:
        return self.nothing


def test_each_seed_has_its_own_examples_from_the_vanilla_model_that_origin_is(grid) -> None:
    plan = plan_of(grid)
    stages, vanilla, amd = prepared(plan), trained(plan, "vanilla"), trained(plan, "amd")
    assert len(stages) == len(vanilla) == len(amd) == 2
    assert [stage.vanilla for stage in stages] == vanilla
    assert [stage.prepared for stage in amd] == stages
    assert len({stage.key for stage in (*stages, *vanilla, *amd)}) == 6
    order = [stage.key for stage in plan.stages]
    for model, stage, defended in zip(vanilla, stages, amd, strict=True):
        places = [order.index(one.key) for one in (model, stage, defended)]
        assert places == sorted(places), "a stage stands before what it needs"


def test_what_no_model_determines_is_made_once_for_all_seeds(grid) -> None:
    def idle(number: int) -> Defense:
        recipe = Idle(nothing=Nothing(number=number))
        return Defense(name="idle", title="Idle", recipe=recipe, source="t")

    plan = plan_of(grid, idle=idle(0))
    (stage,) = [stage for stage in prepared(plan) if isinstance(stage.preparation, Nothing)]
    assert stage.needs == ()
    assert {one.prepared for one in trained(plan, "idle")} == {stage}
    other = plan_of(grid, idle=idle(1))
    keys = [{one.key for one in trained(p, "idle")} for p in (plan, other)]
    assert not keys[0] & keys[1]
    assert stage.key not in {one.key for one in prepared(other)}


def test_other_parameters_of_the_examples_are_other_examples(grid, tmp_path) -> None:
    changed = tmp_path / "changed.toml"
    changed.write_text(grid.read_text().replace("eps = '2/255'", "eps = '3/255'"))
    plans = [plan_of(file) for file in (grid, changed)]
    for stages in (prepared, lambda plan: trained(plan, "amd")):
        first, second = ({stage.key for stage in stages(plan)} for plan in plans)
        assert not first & second
    assert trained(plans[0], "vanilla") == trained(plans[1], "vanilla")


def benchbox(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchbox", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.slow
def test_a_run_with_amd_prepares_once_a_seed_and_a_second_run_does_nothing(grid, tmp_path) -> None:
    done = benchbox("run", grid, "--out", tmp_path, "--workers", "1")
    assert done.returncode == 0, done.stderr
    assert "2 prepare" in done.stdout
    with (tmp_path / "results.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert {(row["defense"], row["seed"]) for row in rows} == {
        (defense, seed) for defense in ("origin", "amd") for seed in "01"
    }
    folders = sorted((tmp_path / "store").glob("prepare-*"))
    assert len(folders) == 2
    examples = [load_file(folder / "examples.safetensors")["examples"] for folder in folders]
    assert not torch.equal(*examples)
    assert (examples[0].int() - examples[1].int()).abs().max() <= 2 * 2
    seeds = set()
    for folder in folders:
        manifest = json.loads((folder / "stage.json").read_text())
        assert manifest["settings"]["preparation"]["steps"] == 3
        seeds.add(manifest["title"].rpartition("seed ")[2])
    assert seeds == {"0", "1"}

    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "store").glob("*/*")}
    numbers = (tmp_path / "results.csv").read_bytes()
    again = benchbox("run", grid, "--out", tmp_path, "--workers", "1")
    assert again.returncode == 0, again.stderr
    total = len(plan_of(grid).stages)
    assert f"{total} stages, {total} of them in the store already" in again.stdout
    assert (tmp_path / "results.csv").read_bytes() == numbers
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "store").glob("*/*")}
    changed = [path for path in after if after[path] != written.get(path)]
    assert [path for path in changed if path.parent.name != "locks"] == []
