"""A training of benchbox's own, exported and given back: the same numbers to the last digit."""

import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file, save_file

from benchbox.runs.options import Options
from benchbox.runs.runner import run_grid
from tests.micro import make_micro_dataset, write_micro_grid

PLUGIN = """
from pathlib import Path
from benchbox.models.given import Given
from benchbox.models.registry import build_model
from defenses import Defense

HERE = Path(__file__).parent

def adv_train_net():
    return build_model("small", num_classes=8, image_size=(32, 16))

def given(name, file):
    how = Given(
        builder=adv_train_net, weights=HERE / file, image_size=(32, 16), mean=None, std=None
    )
    return Defense(name=name, title=name, model=how, source="a test")

BARE = given("bare", "bare.pth")
SAFE = given("safe", "safe.safetensors")
"""


def stage_folder(run: Path, cell: str, kind: str) -> Path:
    stages = json.loads((run / "run.json").read_text())["cells"][cell]["stages"]
    return run / "store" / f"{kind}-{stages[kind][:20]}"


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> tuple[Path, Path]:
    """Run a grid that trains Adv_train, and one that is given its weights, in stores apart."""
    root = tmp_path_factory.mktemp("equal")
    dataset = make_micro_dataset(root / "micro")
    quiet = Console(quiet=True)
    trained = write_micro_grid(root / "trained.toml", dataset)
    run_grid(trained, root / "trained", Options(workers=1), quiet)
    results = pd.read_csv(root / "trained" / "results.csv")
    cell = results.loc[results["defense"] == "adv_train", "cell"].iloc[0]
    state = load_file(stage_folder(root / "trained", cell, "train") / "weights.safetensors")
    torch.save(state, root / "bare.pth")
    save_file(state, root / "safe.safetensors")
    (root / "plugin.py").write_text(PLUGIN)
    text = trained.read_text().replace(
        'defenses = ["origin", "bs_ms", "adv_train"]', 'defenses = ["bare", "safe"]'
    )
    given = root / "given.toml"
    given.write_text(text.partition("[recipe")[0])
    run_grid(given, root / "given", Options(workers=1, plugins=(root / "plugin.py",)), quiet)
    return root / "trained", root / "given"


@pytest.mark.parametrize("row", ["bare", "safe"])
def test_every_cell_of_a_given_row_is_the_trained_rows(runs: tuple[Path, Path], row: str) -> None:
    def cells(run: Path, defense: str) -> pd.DataFrame:
        # As text, so that the last digit counts.
        table = pd.read_csv(run / "results.csv", dtype=str)
        return table[table["defense"] == defense].set_index(["attack", "eps_255"])

    trained, given = cells(runs[0], "adv_train"), cells(runs[1], row)
    assert len(trained) == 5
    assert list(given.index) == list(trained.index)
    numbers = ["mAP", "rank1", "rank5", "rank10", "queries", "gallery"]
    assert given[numbers].to_dict() == trained[numbers].to_dict()
    assert trained["mAP"].nunique() > 2
    for condition in trained.index:
        files = [
            stage_folder(run, table.loc[condition, "cell"], "rank") / "per_query.json"
            for run, table in zip(runs, (trained, given), strict=True)
        ]
        assert files[0].read_bytes() == files[1].read_bytes()
