"""A given model, hardened by FARE in one grid beside the model as it came."""

import hashlib
import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from benchbox.data.images import load_images, to_unit
from benchbox.data.reading import read_dataset
from benchbox.errors import BenchboxError
from benchbox.evaluation.retrieval import evaluate_retrieval
from benchbox.leaderboard.entry.files import read_entry
from benchbox.leaderboard.site.build import build_site
from benchbox.leaderboard.submitting.prepare import SubmitOptions, prepare
from benchbox.leaderboard.submitting.submit import submit
from benchbox.leaderboard.verifying.rerun import RerunOptions, rerun
from benchbox.models.given import Given
from benchbox.models.given_building import build_given
from benchbox.models.given_model import GivenModel
from benchbox.reports.report import write_report
from benchbox.results.run_folder import read_run
from benchbox.runs.grid_file import read_grid
from benchbox.runs.options import Options
from benchbox.runs.override import override
from benchbox.runs.plan import make_plan
from benchbox.runs.registry import load_registry
from benchbox.runs.runner import preview, run_grid
from benchbox.runs.stages import GivenStage, HardenedStage
from benchbox.training.loop import train
from benchbox.training.training_set import TrainingSet, class_labels
from defenses import Fare, Hardened, MetricAT
from tests.micro import make_micro_dataset

PLUGIN = """
from torch import nn
from benchbox.models.given import Given
from defenses import Defense, Fare, Hardened


class Net(nn.Module):
    '''As torchreid's: another output in training, and batch norms.'''

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 12, 5, stride=2), nn.BatchNorm2d(12), nn.ReLU(),
            nn.Conv2d(12, 16, 3, stride=2),
        )
        self.classifier = nn.Linear(16, 3)

    def forward(self, images):
        found = self.body(images).flatten(2).mean(2)
        return self.classifier(found) if self.training else found


def net():
    return Net()


MODEL = Given(builder=net, image_size=(32, 16), distance="cosine")
ASIT = Defense(name="as_it_came", title="As it came", model=MODEL, source="a test")
HARD = Hardened(name="hard", title="Hardened", model=MODEL, recipe=Fare(), source="a test")
"""

GRID = """
name = "hardening"
datasets = ["path:{dataset}"]
backbones = ["small"]
pretrained = false
image_size = [32, 16]
defenses = ["as_it_came", "hard"]
attacks = ["fna"]
budgets = ["8/255"]
steps = 4
step_size = "2/255"
seeds = [0, 1]
[training]
epochs = 4
batch_identities = 4
batch_images = 4
lr = 3e-3
augmentation = {{ pad = 1, erasing = 0.0 }}
[recipe.fare]
steps = 3
eps = "8/255"
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("hardened")
    dataset = make_micro_dataset(root / "micro")
    (root / "plugin.py").write_text(PLUGIN)
    (root / "g.toml").write_text(GRID.format(dataset=dataset))
    run_grid(root / "g.toml", root / "run", options(root), Console(quiet=True))
    return root


def options(root: Path) -> Options:
    return Options(workers=1, plugins=(root / "plugin.py",))


def cells(root: Path) -> pd.DataFrame:
    return pd.read_csv(root / "run" / "results.csv")


def stored(root: Path, cell: str) -> Path:
    key = json.loads((root / "run" / "run.json").read_text())["cells"][cell]["stages"]["given"]
    return root / "run" / "store" / f"given-{key[:20]}"


def weights(root: Path, defense: str, seed: int) -> dict[str, torch.Tensor]:
    found = cells(root)
    row = found[(found["defense"] == defense) & (found["seed"] == seed)].iloc[0]
    return load_file(stored(root, row["cell"]) / "weights.safetensors")


def by_hand(root: Path, folder: Path, *, seed: int) -> GivenModel:
    """Return the model as the owner would train it, kept in evaluation mode."""
    given = load_registry([root / "plugin.py"]).defenses["hard"].model
    assert given is not None

    class Kept(GivenModel):
        def train(self, mode: bool = True):
            return super().train(mode=False)

    model = Kept(build_given(given).model, given).eval().requires_grad_(requires_grad=True)
    changes = {
        "training": {
            "epochs": 4,
            "batch_identities": 4,
            "batch_images": 4,
            "lr": 3e-3,
            "augmentation": {"pad": 1, "erasing": 0.0},
        },
        "steps": 3,
        "eps": "8/255",
    }
    recipe = override(Fare(), changes, where="here")
    records = read_dataset(root / "micro").train
    data = TrainingSet(load_images(records, size=(32, 16)), class_labels(records))
    train(recipe, model, data, seed=seed, folder=folder, device=torch.device("cpu"))  # type: ignore[arg-type]
    return model


def test_it_is_what_training_by_hand_from_the_given_weights_makes(
    place: Path, tmp_path: Path
) -> None:
    came = weights(place, "as_it_came", 0)
    for seed in (0, 1):
        found = weights(place, "hard", seed)
        (tmp_path / str(seed)).mkdir()
        expected = by_hand(place, tmp_path / str(seed), seed=seed).model.state_dict()
        assert found.keys() == expected.keys()
        for name, tensor in expected.items():
            assert torch.allclose(found[name], tensor, atol=1e-6), name
        # The statistics stay as they came, and the classifier, of which nothing is asked.
        for name in came:
            trained = name.startswith("body") and "running" not in name and "num_" not in name
            assert torch.equal(found[name], came[name]) != trained, name
    first, second = (weights(place, "hard", seed)["body.0.weight"] for seed in (0, 1))
    assert not torch.equal(first, second)


def test_its_numbers_are_those_of_its_weights(place: Path, tmp_path: Path) -> None:
    model = by_hand(place, tmp_path, seed=1).eval()
    dataset = read_dataset(place / "micro")

    def embedded(records) -> torch.Tensor:
        with torch.no_grad():
            return model(to_unit(load_images(records, size=(32, 16))))

    expected = evaluate_retrieval(
        embedded(dataset.query),
        embedded(dataset.gallery),
        *([r.pid for r in part] for part in (dataset.query, dataset.gallery)),
        *([r.camid for r in part] for part in (dataset.query, dataset.gallery)),
        metric="cosine",
    )
    found = cells(place)
    row = found[(found["defense"] == "hard") & (found["seed"] == 1) & (found["attack"] == "none")]
    assert float(row["mAP"].iloc[0]) == pytest.approx(100 * expected.mAP, abs=1e-3)


def test_the_row_stands_beside_the_model_as_it_came(place: Path) -> None:
    run = read_run(place / "run")
    found = run.results.groupby("defense")["seed"].unique()
    assert list(found["as_it_came"]) == [0]
    assert sorted(found["hard"]) == [0, 1]
    described = run.record.defenses["hard"]
    assert (described["recipe"]["name"], described["recipe"]["start"]) == ("fare", "given")
    assert described["training"]["attack"] == {"eps_255": 8.0, "passes": 3.0}
    assert {(t.defense, t.seed) for t in run.record.trainings} == {("hard", 0), ("hard", 1)}
    page = write_report(
        place / "run", depth="results", plugins=[place / "plugin.py"]
    ).path.read_text()
    assert "Hardened (its training data are not stated, then hardened by fare, which needs" in page
    # One try of the model as it came serves its own row and both that start from it.
    plan, _ = preview(place / "g.toml", options(place))
    kinds = [type(stage) for stage in plan.stages]
    assert kinds.count(GivenStage) == 1
    assert kinds.count(HardenedStage) == 2


def test_another_weight_of_the_owner_is_another_hardened_model(place: Path, tmp_path: Path) -> None:
    (tmp_path / "plugin.py").write_text(PLUGIN.replace("nn.Linear(16, 3)", "nn.Linear(16, 4)"))
    keys = []
    for root in (place, tmp_path):
        plan, _ = preview(place / "g.toml", options(root))
        keys.append([s.key for s in plan.stages if isinstance(s, HardenedStage)])
        assert len(keys[-1]) == 2
    assert not set(keys[0]) & set(keys[1])


def test_what_cannot_be_hardened_is_refused(place: Path) -> None:
    said = {"name": "x", "title": "X", "source": "a test"}
    given = Given(builder="small")
    with pytest.raises(BenchboxError, match=r"'x': Hardened wants both: model .* and recipe"):
        Hardened(**said, model=given)
    with pytest.raises(BenchboxError, match=r"'x': Hardened wants both"):
        Hardened(**said, model=given, recipe=MetricAT())
    with pytest.raises(BenchboxError, match=r"takes cameras or views"):
        Hardened(**said, model=Given(builder="small", cameras="cam_label"), recipe=Fare())
    text = PLUGIN.replace('distance="cosine")', 'distance="cosine", trained_on="market1501")')
    (place / "stated.py").write_text(text)
    registry = load_registry([place / "stated.py"])
    grid = read_grid(place / "g.toml", registry)
    with pytest.raises(BenchboxError, match=r"'hard': is hardened on the images of market1501"):
        make_plan(grid, registry, {grid.datasets[0]: "0" * 64}, where="g")


PROTOCOL = """
schema = 1
board = "any"
version = 1
title = "Any"
attacks = ["fna"]
budgets = ["8/255"]
steps = 4
step_size = "2/255"
ap = "trapezoid"
seeds = [0, 1]
rerun_tolerance = 0.5
[[datasets]]
name = "market1501"
digest = "{digest}"
"""


def test_its_entry_is_written_and_made_again_from_its_own_weights(tmp_path: Path) -> None:
    make_micro_dataset(tmp_path / "data" / "Market-1501-v15.09.15", test=12)
    (tmp_path / "plugin.py").write_text(PLUGIN)
    text = GRID.replace("path:{dataset}", "market1501").replace("{{", "{").replace("}}", "}")
    (tmp_path / "g.toml").write_text(
        text.replace('"as_it_came", ', "").replace("epochs = 4", "epochs = 1")
    )
    plugins, data = (tmp_path / "plugin.py",), tmp_path / "data"
    how = Options(workers=1, plugins=plugins, data_root=data)
    run_grid(tmp_path / "g.toml", tmp_path / "run", how, Console(quiet=True))
    board = tmp_path / "boards" / "any"
    board.mkdir(parents=True)
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    digest = record["datasets"]["market1501"]["digest"]
    (board / "protocol.toml").write_text(PROTOCOL.format(digest=digest))
    said = SubmitOptions(run=tmp_path / "run", defense="hard", board=board)
    (path,) = submit(prepare(said, plugins=plugins), checks={}).paths
    entry = read_entry(path)
    files = {
        w.seed: stored(tmp_path, c.cell) / "weights.safetensors"
        for w, c in zip(entry.weights, entry.clean.seeds, strict=True)
    }
    for made in entry.weights:
        assert made.sha256 == hashlib.sha256(files[made.seed].read_bytes()).hexdigest()
    assert entry.given is not None
    assert entry.provenance.training_seconds is not None
    build_site(tmp_path / "boards", tmp_path / "site", plugins=plugins)
    page = (tmp_path / "site" / "any" / f"{path.stem}.html").read_text()
    assert "; then hardened by fare" in page
    again = rerun(path, RerunOptions(weights=files, plugins=plugins, device="cpu", data_root=data))
    assert again.problems == []
    assert max(abs(number.difference) for number in again.numbers) < 1e-3
