"""A training of benchbox's own, exported and given back: the same numbers to the last digit."""

import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file, save_file

from benchbox.models.in_use import InUse, Use
from benchbox.models.registry import build_model
from benchbox.reports.tables.of_run import run_tables
from benchbox.results.run_folder import read_run
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

def given(name, file, **use):
    how = Given(
        builder=adv_train_net, weights=HERE / file, image_size=(32, 16), mean=None, std=None, **use
    )
    return Defense(name=name, title=name, model=how, source="a test")

BARE = given("bare", "bare.pth")
SAFE = given("safe", "safe.safetensors")
MIRRORED = given("mirrored", "bare.pth", flip_test=True)
COSINE = given("cosine", "bare.pth", flip_test=True, distance="cosine")
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


@pytest.fixture(scope="module", params=["mirrored", "cosine"])
def used(runs: tuple[Path, Path], request) -> tuple[str, Path, Path]:
    """Return how a model is used, and runs where a grid and where a `Given` says so."""
    root, name = runs[0].parent, request.param
    keys = "flip_test = true\n" + ('ranked_by = "cosine"\n' if name == "cosine" else "")
    trained, given = root / f"{name}-trained.toml", root / f"{name}-given.toml"
    text = (root / "trained.toml").read_text()
    trained.write_text(keys + text.replace('"origin", "bs_ms", "adv_train"', '"adv_train"'))
    given.write_text((root / "given.toml").read_text().replace('"bare", "safe"', f'"{name}"'))
    for file, store in ((trained, runs[0] / "store"), (given, runs[1] / "store")):
        options = Options(workers=1, plugins=(root / "plugin.py",), store=store)
        run_grid(file, root / file.stem, options, Console(quiet=True))
    return name, root / trained.stem, root / given.stem


def test_a_trained_row_is_used_as_a_given_one_would_be(
    used: tuple[str, Path, Path], runs: tuple[Path, Path]
) -> None:
    name, trained, given = used
    numbers = ["mAP", "minp", "rank1", "rank5", "rank10", "rank20"]
    tables = [pd.read_csv(run / "results.csv") for run in (trained, given)]
    assert set(tables[0]["defense"]) == {"adv_train"}
    for column in numbers:
        assert tables[0][column].tolist() == pytest.approx(tables[1][column].tolist(), abs=1e-6)
    plain = pd.read_csv(runs[0] / "results.csv")
    plain = plain[plain["defense"] == "adv_train"]
    assert tables[0]["mAP"].tolist() != pytest.approx(plain["mAP"].tolist(), abs=1e-3)
    rows = [read_run(run).record.rows[0] for run in (trained, given)]
    for key in ("ranked_by", "flip_test", "ascended"):
        assert getattr(rows[0], key) == getattr(rows[1], key)
    assert rows[0].flip_test
    assert rows[0].ranked_by == ("cosine" if name == "cosine" else "euclidean")
    assert rows[0].ascended == (
        "squared Euclidean at unit length, 2 − 2 cos" if name == "cosine" else "squared Euclidean"
    )
    caption = run_tables(read_run(trained))["white_box"].caption
    assert "mean of image and mirror" in caption
    assert ("ranked and attacked by the cosine" in caption) == (name == "cosine")


def test_the_mirror_is_attacked_too() -> None:
    """The gradient is that of the mean: of the image's and, mirrored back, of its mirror's."""
    model = build_model("small", num_classes=8, image_size=(32, 16)).eval()
    images = torch.rand(3, 3, 32, 16, generator=torch.Generator().manual_seed(0))
    weights = torch.randn(3, model.embedding_dim, generator=torch.Generator().manual_seed(1))

    def gradient(embed, at):
        at = at.clone().requires_grad_()
        (embed(at) * weights).sum().backward()
        return at.grad

    one, other = (gradient(model, each) for each in (images, images.flip(3)))
    found = gradient(InUse(model, Use(flip_test=True)), images)
    torch.testing.assert_close(found, (one + other.flip(3)) / 2)
    unit = InUse(model, Use(flip_test=True, ranked_by="cosine"))(images)
    torch.testing.assert_close(unit.norm(dim=1), torch.ones(3))


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
