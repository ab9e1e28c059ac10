"""One grid of a trained row and given ones of other sizes and distances, and all made of it."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from rich.console import Console
from safetensors.torch import load_file

from benchbox.data.images import at_size
from benchbox.data.reading import read_dataset
from benchbox.evaluation.retrieval import evaluate_retrieval
from benchbox.models.given_building import build_given
from benchbox.reports.figures.robustness import robustness_bars
from benchbox.reports.report import write_report
from benchbox.results.run_folder import read_run
from benchbox.runs.options import Options
from benchbox.runs.registry import load_registry
from benchbox.runs.runner import run_grid
from tests.micro import make_micro_dataset, write_micro_grid

PLUGIN = """
from torch import nn
from benchbox.models.given import Given
from defenses import Defense


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 12, 5, stride=2), nn.ReLU(), nn.Conv2d(12, 16, 3, stride=2)
        )

    def forward(self, images):
        return self.body(images).flatten(2).mean(2)


def net():
    return Net()


LARGE = Defense(
    name="large_cosine",
    title="Large, cosine",
    model=Given(builder=net, image_size=(64, 32), distance="cosine", trained_on="market1501"),
    source="a test",
)
FLIP = Defense(
    name="flipped",
    title="Flip-test",
    model=Given(builder=net, image_size=(32, 16), flip_test=True),
    source="a test",
)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("mixed")
    dataset = make_micro_dataset(root / "micro")
    (root / "plugin.py").write_text(PLUGIN)
    grid = write_micro_grid(
        root / "mixed.toml", dataset, epochs=1, extra='sources = ["origin", "large_cosine"]'
    )
    text = grid.read_text().replace(
        '["origin", "bs_ms", "adv_train"]', '["origin", "large_cosine", "flipped"]'
    )
    grid.write_text(text.partition("[recipe")[0].replace('"fna", "sma"', '"fna"'))
    options = Options(workers=1, plugins=(root / "plugin.py",))
    run_grid(grid, root / "run", options, Console(quiet=True))
    return root


def cells(place: Path, table: str = "results.csv") -> pd.DataFrame:
    return pd.read_csv(place / "run" / table)


def stage(place: Path, cell: str, kind: str) -> Path:
    key = json.loads((place / "run" / "run.json").read_text())["cells"][cell]["stages"][kind]
    return place / "run" / "store" / f"{kind}-{key[:20]}"


def white_box(place: Path, defense: str, attack: str = "fna") -> str:
    found = cells(place)
    row = found[(found["defense"] == defense) & (found["attack"] == attack)]
    return str(row.iloc[0]["cell"])


def resized_by_hand(images: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Oracle: Pillow's bilinear filter, which is antialiased, channel by channel on floats."""
    planes = [
        [
            Image.fromarray(channel.numpy()).resize(size[::-1], Image.Resampling.BILINEAR)
            for channel in image
        ]
        for image in images
    ]
    return torch.tensor(np.array([[np.asarray(plane) for plane in image] for image in planes]))


@pytest.mark.parametrize("size", [(32, 16), (64, 32), (48, 40)])
def test_at_size_is_pillows_bilinear_filter(size: tuple[int, int]) -> None:
    images = torch.rand(3, 3, 48, 24, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(at_size(images, size), resized_by_hand(images, size), atol=1e-5)
    assert at_size(images, (48, 24)) is images


def test_each_row_is_measured_at_its_own_size(place: Path) -> None:
    for defense, size in (("origin", (32, 16)), ("large_cosine", (64, 32)), ("flipped", (32, 16))):
        images = load_file(
            stage(place, white_box(place, defense), "attack") / "adversarial-8-255.safetensors"
        )
        assert tuple(images["images"].shape[2:]) == size


@pytest.mark.parametrize(
    ("source", "target", "size"),
    [("large_cosine", "flipped", (32, 16)), ("origin", "large_cosine", (64, 32))],
)
def test_black_box_between_sizes_is_resized_and_embedded_as_by_hand(
    place: Path, source: str, target: str, size: tuple[int, int]
) -> None:
    made = stage(place, white_box(place, source), "attack") / "adversarial-8-255.safetensors"
    images = resized_by_hand(load_file(made)["images"], size).clamp(0, 1)
    registry = load_registry([place / "plugin.py"])
    model = build_given(registry.defenses[target].model)
    clean = stage(place, white_box(place, target, "none"), "embed") / "features.safetensors"
    data = read_dataset(place / "micro", name="micro")
    with torch.no_grad():
        query = model(images)
    expected = evaluate_retrieval(
        query,
        load_file(clean)["gallery"],
        [r.pid for r in data.query],
        [r.pid for r in data.gallery],
        [r.camid for r in data.query],
        [r.camid for r in data.gallery],
        ap="trapezoid",
    )
    table = cells(place, "black_box.csv")
    found = table[
        (table["source_defense"] == source) & (table["defense"] == target) & (table["eps_255"] == 8)
    ]
    assert len(found) == 1
    assert found.iloc[0]["mAP"] == pytest.approx(100 * expected.mAP, abs=1e-3)


def test_the_record_says_what_ranks_and_what_is_ascended(place: Path) -> None:
    rows = json.loads((place / "run" / "run.json").read_text())["rows"]
    said = {row["defense"]: (row["ranked_by"], row["ascended"]) for row in rows}
    assert said == {
        "origin": ("euclidean", "squared Euclidean at unit length, 2 − 2 cos"),
        "large_cosine": ("cosine", "squared Euclidean at unit length, 2 − 2 cos"),
        "flipped": ("euclidean", "squared Euclidean"),
    }


def test_bars_of_every_block_are_inside_their_panel(place: Path) -> None:
    """A block's panel has its own rows; the highest bar, wherever it stands, is not cut off."""
    run = read_run(place / "run")
    results = run.results.assign(train_dataset=run.results["test_dataset"])
    last = results["defense"] == "flipped"
    results.loc[last & (results["attack"] == "none"), "mAP"] = 97.0
    figure = robustness_bars(results, run.record.names)
    shown, highest = [], 0.0
    for axes in figure.axes:
        shown.append({label.get_text() for label in axes.get_xticklabels()})
        heights = [bar.get_height() for bar in axes.patches]
        assert axes.get_ylim()[1] >= max(heights)
        highest = max(highest, *heights)
    assert highest == 97
    assert {"Origin"} in shown
    assert not any({"Origin", "Flip-test"} <= titles for titles in shown)


def test_the_report_shows_given_rows_their_use_and_where_they_look(place: Path) -> None:
    run = place / "run"
    report = write_report(run, plugins=[place / "plugin.py"])
    text = report.path.read_text()
    assert {each.title: each.reason for each in report.left_out} == {}
    for words in (
        "Large, cosine (trained on market1501 as stated, 64×32 pixels, ranked and attacked by the",
        "Flip-test (its training data are not stated, 32×16 pixels, mean of image and mirror)",
        "Shown to a model of another size, queries are resized",
    ):
        assert words in text
    drawn = {path.name for path in (run / "figures").glob("heatmaps_*.png")}
    assert len(drawn) == 3
