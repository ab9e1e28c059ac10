"""Black-box attacks: another model's adversarial queries, shown to a target that had no part."""

import csv
import json
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from safetensors.torch import load_file

from benchbox.data.reading import read_dataset
from benchbox.errors import BenchboxError
from benchbox.evaluation.retrieval import evaluate_retrieval
from benchbox.models.folding import attack_ready
from benchbox.models.registry import build_model
from benchbox.models.weights import load_weights
from benchbox.runs.options import Options
from benchbox.runs.runner import preview, run_grid
from benchbox.runs.stages.attacked import images_file
from defenses import DEFENSES
from tests.micro import make_micro_dataset, write_micro_grid

SOURCES = 'sources = ["origin", "adv_train", "test_resnet:origin"]'


def rows(file: Path) -> list[dict[str, str]]:
    with file.open() as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    return make_micro_dataset(tmp_path_factory.mktemp("data") / "micro")


@pytest.fixture(scope="module")
def run(dataset, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    grid = write_micro_grid(folder / "micro.toml", dataset, epochs=1, extra=SOURCES)
    run_grid(grid, folder / "out", Options(workers=1), Console(quiet=True))
    return folder / "out"


def test_every_row_is_shown_to_every_source_at_every_attack_and_budget(run: Path) -> None:
    cells = [
        (r["source_backbone"], r["source_defense"], r["defense"], r["attack"], r["eps_255"])
        for r in rows(run / "black_box.csv")
    ]
    assert sorted(cells) == sorted(
        (backbone, source, target, attack, eps)
        for backbone, source in (
            ("small", "origin"), ("small", "adv_train"), ("test_resnet", "origin")
        )
        for target in ("origin", "bs_ms", "adv_train")
        for attack in ("fna", "sma")
        for eps in ("8.0", "10.0")
    )  # fmt: skip


def test_a_row_shown_its_own_queries_is_the_white_box_result(run: Path) -> None:
    def numbers(table: list[dict[str, str]]) -> dict[tuple[str, ...], str]:
        return {(r["defense"], r["attack"], r["eps_255"]): r["mAP"] for r in table}

    white = numbers(rows(run / "results.csv"))
    own = [
        r
        for r in rows(run / "black_box.csv")
        if (r["source_backbone"], r["source_defense"]) == ("small", r["defense"])
    ]
    assert len(own) == 2 * 2 * 2
    for place, value in numbers(own).items():
        assert value == white[place]


def test_black_box_numbers_equal_an_evaluation_by_hand(run: Path, dataset: Path) -> None:
    """Weights and images from the store, the model put together here, the official evaluator."""
    record = json.loads((run / "run.json").read_text())
    data = read_dataset(dataset, name="micro")
    stages = {r["cell"]: record["cells"][r["cell"]]["stages"] for r in rows(run / "results.csv")}

    def stage(defense: str, attack: str, eps: str, kind: str) -> Path:
        cell = next(
            r["cell"]
            for r in rows(run / "results.csv")
            if (r["defense"], r["attack"], r["eps_255"]) == (defense, attack, eps)
        )
        return run / "store" / f"{kind}-{stages[cell][kind][:20]}"

    images = load_file(
        stage("adv_train", "fna", "10.0", "attack") / "adversarial-10-255.safetensors"
    )
    target = stage("bs_ms", "none", "0.0", "train")
    model = build_model("small", num_classes=len(data.train_pids), image_size=(32, 16))
    load_weights(model, target / "weights.safetensors")
    guard = DEFENSES["bs_ms"].guard
    assert guard is not None
    with torch.no_grad():
        query = attack_ready(model)(guard(images["images"]))
    gallery = load_file(stage("bs_ms", "none", "0.0", "embed") / "features.safetensors")["gallery"]
    expected = evaluate_retrieval(
        query,
        gallery,
        [r.pid for r in data.query],
        [r.pid for r in data.gallery],
        [r.camid for r in data.query],
        [r.camid for r in data.gallery],
        ap="trapezoid",
    )
    found = next(
        r
        for r in rows(run / "black_box.csv")
        if (r["source_backbone"], r["source_defense"], r["defense"], r["attack"], r["eps_255"])
        == ("small", "adv_train", "bs_ms", "fna", "10.0")
    )
    assert float(found["mAP"]) == pytest.approx(100 * expected.mAP, abs=1e-6)
    assert float(found["rank1"]) == pytest.approx(100 * expected.cmc[0], abs=1e-6)


def test_without_sources_there_is_no_black_box(dataset: Path, tmp_path: Path) -> None:
    grid = write_micro_grid(tmp_path / "micro.toml", dataset)
    plan, _ = preview(grid, Options())
    assert plan.black_box == ()
    assert not any(stage.kind == "replay" for stage in plan.stages)
    assert not any(getattr(stage, "keep", False) for stage in plan.stages)


def test_only_sources_keep_all_their_queries(dataset: Path, tmp_path: Path) -> None:
    grid = write_micro_grid(tmp_path / "micro.toml", dataset, extra='sources = ["adv_train"]')
    plan, _ = preview(grid, Options())
    kept = {
        stage.clean.network.recipe.name: stage.keep
        for stage in plan.stages
        if stage.kind == "attack"
    }
    assert kept == {"vanilla": False, "adv_train": True}


@pytest.mark.parametrize(
    ("sources", "says"),
    [
        ('["origine"]', "origin"),
        ('["resnet999:origin"]', "resnet999"),
        ('["origin", "origin"]', "twice"),
        ('[["small", "origin"]]', "sources"),
    ],
)
def test_a_source_that_is_none_is_named(dataset, tmp_path, sources: str, says: str) -> None:
    grid = write_micro_grid(tmp_path / "micro.toml", dataset, extra=f"sources = {sources}")
    with pytest.raises(BenchboxError, match=says):
        preview(grid, Options())


@pytest.mark.parametrize(
    ("budget", "name"),
    [
        (Fraction(10, 255), "adversarial-10-255"),
        (Fraction(8, 255), "adversarial-8-255"),
        (Fraction("2.5") / 255, "adversarial-2.5-255"),
        (Fraction(1), "adversarial-255-255"),
        (Fraction(1, 7), "adversarial-1-7"),
        (Fraction("0.03"), "adversarial-7.65-255"),
    ],
)
def test_kept_images_are_named_as_budgets_are_written(budget: Fraction, name: str) -> None:
    assert images_file(budget) == f"{name}.safetensors"


@given(st.lists(st.fractions(0, 1, max_denominator=10**9), min_size=2, max_size=2, unique=True))
def test_two_budgets_have_two_names(budgets: list[Fraction]) -> None:
    assert images_file(budgets[0]) != images_file(budgets[1])
