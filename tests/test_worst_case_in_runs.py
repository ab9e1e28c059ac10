"""The worst case as a column of a run: pooled with the others, the same however it is run."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from safetensors.torch import load_file

from benchbox.data.reading import read_dataset
from benchbox.errors import BenchboxError
from benchbox.evaluation.lowest_of import Scored, lowest_of
from benchbox.evaluation.retrieval import evaluate_retrieval
from benchbox.reports.tables.by_layout import over_seeds
from benchbox.results.run_folder import read_run
from benchbox.runs.grid_file import read_grid
from benchbox.runs.options import Options
from benchbox.runs.plan import make_plan
from benchbox.runs.registry import load_registry
from benchbox.runs.runner import run_grid
from benchbox.runs.stages import RankStage
from benchbox.runs.store import Store
from tests.micro import make_micro_dataset, write_micro_grid

TABLE = """
[attack.worst_case]
budgets = ["8/255"]
"""


def write_grid(
    file: Path, dataset: Path, *, attacks: str, tables: str = "", keys: str = ""
) -> Path:
    write_micro_grid(file, dataset, epochs=1, extra=keys)
    text = file.read_text().replace('attacks = ["fna", "sma"]', f"attacks = {attacks}")
    text = text.replace('defenses = ["origin", "bs_ms", "adv_train"]', 'defenses = ["origin"]')
    file.write_text(text.split("[recipe.adv_train]")[0] + tables)
    return file


def rows(out: Path, file: str = "results.csv") -> list[dict[str, str]]:
    with (out / file).open() as stream:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(stream)]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_micro_dataset(tmp_path_factory.mktemp("data") / "micro")


@pytest.fixture(scope="module")
def grid(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("grid") / "micro.toml"
    return write_grid(file, dataset, attacks='["worst_case", "fna", "smooth_ap"]', tables=TABLE)


@pytest.fixture(scope="module")
def run(grid: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "out"
    outcome = run_grid(grid, out, Options(workers=1, batch_size=64), Console(quiet=True))
    assert not outcome.failures
    return out


def cell(run: Path, attack: str, eps: str = "8.0") -> dict[str, str]:
    (found,) = [r for r in rows(run) if (r["attack"], r["eps_255"]) == (attack, eps)]
    return found


def stage(run: Path, row: dict[str, str], kind: str) -> Path:
    keys = json.loads((run / "run.json").read_text())["cells"][row["cell"]]["stages"]
    return Store(run / "store").folder(kind, keys[kind])


def per_query(run: Path, attack: str) -> list[dict[str, Any]]:
    file = stage(run, cell(run, attack), "rank") / "per_query.json"
    found: list[dict[str, Any]] = json.loads(file.read_text())
    return found


def test_it_has_its_own_budgets_and_no_steps(run: Path) -> None:
    columns = [(r["attack"], r["eps_255"], r["steps"], r["step_size_255"]) for r in rows(run)]
    assert columns == [
        ("none", "0.0", "0", "0.0"),
        ("worst_case", "8.0", "0", "0.0"),
        ("fna", "8.0", "10", "1.0"),
        ("fna", "10.0", "10", "1.0"),
        ("smooth_ap", "8.0", "10", "0.0"),
        ("smooth_ap", "10.0", "10", "0.0"),
    ]
    planned = [(c.attack, c.eps_255) for c in read_run(run).record.names.conditions]
    assert planned == [(attack, float(eps)) for attack, eps, _, _ in columns]


def test_no_query_is_above_what_another_attack_left_of_it(run: Path) -> None:
    worst = per_query(run, "worst_case")
    for attack in ("fna", "smooth_ap"):
        for lowest, other in zip(worst, per_query(run, attack), strict=True):
            assert lowest["query"] == other["query"]
            assert lowest["ap"] <= other["ap"]
            assert lowest["first_hit"] >= other["first_hit"]


def test_the_record_says_the_threat_model_and_which_attack_won(run: Path) -> None:
    record = read_run(run).record
    threats = {name: attack.threat for name, attack in record.attacks.items()}
    assert threats == {"worst_case": "query+gallery", "fna": "query", "smooth_ap": "query"}
    assert record.attacks["worst_case"].settings == {"class": "WorstCase", "tier": "full"}
    won = record.cells[cell(run, "worst_case")["cell"]].won
    assert sum(won.values()) == int(cell(run, "worst_case")["queries"])
    assert {"worst_case.smooth_ap", "worst_case.corner", "fna", "smooth_ap"} <= set(won)
    assert record.cells[cell(run, "fna")["cell"]].won == {}


def test_ap_and_ranks_are_those_of_the_saved_embeddings(run: Path, dataset: Path) -> None:
    """By the public evaluator, over the cell's own attack and the two pooled ones."""
    data = read_dataset(dataset, name="micro")
    clean = load_file(stage(run, cell(run, "fna"), "embed") / "features.safetensors")
    found, deepest = [], []
    for attack in ("worst_case", "fna", "smooth_ap"):
        folder = stage(run, cell(run, attack), "attack")
        for into, name in ((found, "features"), (deepest, "deepest")):
            file = folder / f"{name}.safetensors"
            if not file.is_file():
                file = folder / "features.safetensors"
            into.append(
                evaluate_retrieval(
                    load_file(file)["8/255"],
                    clean["gallery"],
                    [r.pid for r in data.query],
                    [r.pid for r in data.gallery],
                    [r.camid for r in data.query],
                    [r.camid for r in data.gallery],
                )
            )
    ap = np.min([each.ap for each in found], axis=0)
    hits = np.max([each.first_hit for each in deepest], axis=0)
    row = cell(run, "worst_case")
    assert float(row["mAP"]) == pytest.approx(100 * ap.mean(), abs=1e-9)
    assert float(row["rank1"]) == pytest.approx(100 * (hits == 1).mean(), abs=1e-9)
    assert [query["ap"] for query in per_query(run, "worst_case")] == pytest.approx(ap)


@pytest.mark.parametrize(("batch", "workers"), [(7, 1), (64, 2)])
def test_batch_and_workers_do_not_matter(
    grid: Path, run: Path, tmp_path: Path, batch: int, workers: int
) -> None:
    options = Options(workers=workers, batch_size=batch)
    run_grid(grid, tmp_path, options, Console(quiet=True))
    assert rows(tmp_path) == rows(run)
    assert rows(tmp_path, "per_id.csv") == rows(run, "per_id.csv")


def test_the_worst_of_each_query_by_hand() -> None:
    nan = float("nan")
    inp = np.array([[0.5, 0.1, nan, 0.2], [0.3, 0.2, nan, 0.2]])
    one = Scored(np.array([0.5, 0.2, nan, 0.3]), np.array([1, 4, 0, 3]), inp[0])
    two = Scored(np.array([0.4, 0.2, nan, 0.6]), np.array([2, 3, 0, 1]), inp[1])
    worst, first = lowest_of([one, two])
    assert worst.ap[worst.valid].tolist() == [0.4, 0.2, 0.3]
    assert worst.first_hit.tolist() == [2, 4, 0, 3]
    assert first.tolist() == [1, 0, 0, 0]
    assert worst.mAP == pytest.approx(0.3)
    assert worst.rank(2) == pytest.approx(1 / 3)
    assert worst.inp[worst.valid].tolist() == [0.3, 0.1, 0.2]
    assert worst.mINP == pytest.approx(0.2)


def test_it_is_run_in_bfloat16_and_shown_to_another_model(dataset: Path, tmp_path: Path) -> None:
    """What coarser gradients found counts as the exact model sees it; a replay pools nothing."""
    grid = write_grid(
        tmp_path / "grid.toml",
        dataset,
        attacks='["worst_case", "fna"]',
        tables='[attack.worst_case]\ntier = "fast"\nbudgets = ["8/255"]\n',
        keys='precision = "bf16"\nsources = ["origin", "test_resnet:origin"]',
    )
    outcome = run_grid(grid, tmp_path / "out", Options(workers=1), Console(quiet=True))
    assert not outcome.failures
    for lowest, other in zip(
        per_query(tmp_path / "out", "worst_case"), per_query(tmp_path / "out", "fna"), strict=True
    ):
        assert lowest["ap"] <= other["ap"]
    shown = {
        r["source_backbone"]: float(r["mAP"])
        for r in rows(tmp_path / "out", "black_box.csv")
        if r["attack"] == "worst_case"
    }
    assert shown["small"] == float(cell(tmp_path / "out", "worst_case")["mAP"])
    # Queries that end with all matches last elsewhere too are as low there, never lower.
    assert shown["test_resnet"] >= shown["small"]


def plan_of(file: Path) -> Any:
    registry = load_registry()
    grid = read_grid(file, registry)
    return make_plan(grid, registry, {grid.datasets[0]: "a" * 64}, where="g")


def test_only_what_is_at_the_same_budget_is_pooled(dataset: Path, tmp_path: Path) -> None:
    tables = '[attack.worst_case]\nbudgets = ["4/255", "8/255"]\n'
    file = write_grid(tmp_path / "g.toml", dataset, attacks='["fna", "worst_case"]', tables=tables)
    pooled = {
        (cell.attack, str(cell.budget)): [stage.attack.name for stage in cell.rank.pooled]
        for cell in plan_of(file).cells
        if isinstance(cell.rank, RankStage) and cell.attack != "none"
    }
    assert pooled == {
        ("fna", "8/255"): [],
        ("fna", "2/51"): [],
        ("worst_case", "4/255"): [],
        ("worst_case", "8/255"): ["fna"],
    }


@pytest.mark.parametrize(
    ("attacks", "tables", "says"),
    [
        ('["worst_case"]', "[attack.worst_case]\nsteps = 3\n", r"unknown parameter 'steps'.*tier"),
        (
            '["worst_case"]',
            '[attack.worst_case]\ntier = "slow"\n',
            r"tier: .*'fast', 'full'",
        ),
        ('["fna"]', "[attack.fna]\nbudgets = []\n", r"fna\.budgets: expected a list"),
        ('["fna"]', '[attack.fna]\nbudgets = ["9"]\n', r"fna\.budgets: expected a fraction"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_line(
    dataset: Path, tmp_path: Path, attacks: str, tables: str, says: str
) -> None:
    file = write_grid(tmp_path / "g.toml", dataset, attacks=attacks, tables=tables)
    with pytest.raises(BenchboxError, match=says) as error:
        plan_of(file)
    assert "\n" not in str(error.value)


def test_a_plugin_attack_of_any_kind_joins(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from dataclasses import dataclass\n"
        "from attacks.ranked_attack import RankedAttack\n"
        "from attacks.smooth_ap import SmoothAP\n\n\n"
        "@dataclass(frozen=True, kw_only=True)\n"
        "class Mine(SmoothAP):\n"
        '    """Mine."""\n\n'
        '    name = "mine"\n'
        '    title = "Mine"\n'
    )
    registry = load_registry([file])
    assert registry.attacks["mine"].threat == "query"
    assert "ranked_attack" not in registry.attacks


def test_the_table_names_the_threat_models(run: Path) -> None:
    caption = over_seeds(read_run(run).results, read_run(run).record.names).caption
    assert "Threat models: Worst case: query + gallery; FNA, Smooth-AP: query." in caption
    assert "step size 1/255." in caption
