"""Chance: the mAP of random rankings, and rows, trainings and tables that come near it."""

import io
import itertools
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from rich.console import Console
from torch import Tensor

from benchbox.data.finding import open_dataset
from benchbox.data.protocol import ImageRecord, ReidDataset
from benchbox.evaluation.average_precision import ApConvention, average_precision
from benchbox.evaluation.chance import chance_ap, chance_map, is_near_chance
from benchbox.evaluation.retrieval import rank_distances
from benchbox.reports.cautions import cautions
from benchbox.reports.report import write_report
from benchbox.reports.tables.of_run import run_tables
from benchbox.results.run_folder import read_run
from benchbox.runs.options import Options
from benchbox.runs.runner import run_grid
from benchbox.training.loop import train
from benchbox.training.probing import nearest_is_same, rank1_by_chance
from tests.made_runs import make_run
from tests.micro import make_micro_dataset
from tests.test_training import TRAINED, TinyModel, made_data


@pytest.mark.parametrize("ap", ["step", "trapezoid"])
@pytest.mark.parametrize(("matches", "ranked"), [(1, 1), (1, 5), (2, 6), (4, 4), (5, 9)])
def test_chance_is_the_mean_over_all_places_of_the_matches(
    matches: int, ranked: int, ap: ApConvention
) -> None:
    places = itertools.combinations(range(1, ranked + 1), matches)
    counts = np.array([matches])
    every = [average_precision(np.array(ranks), counts, ap=ap)[0] for ranks in places]
    found = chance_ap(counts, np.array([ranked]), ap=ap)
    np.testing.assert_allclose(found, np.mean(every), rtol=1e-12)


@pytest.mark.parametrize("ap", ["step", "trapezoid"])
def test_chance_of_a_dataset_is_the_mean_of_random_rankings(ap: ApConvention) -> None:
    draw = np.random.default_rng(0)

    def records(count: int, pids: list[int]) -> tuple[ImageRecord, ...]:
        drawn = zip(draw.choice(pids, count), draw.integers(1, 4, count), strict=True)
        return tuple(ImageRecord(Path("x.jpg"), int(pid), int(cam)) for pid, cam in drawn)

    # Distractors, and one query identity (9) that the gallery lacks.
    query, gallery = records(12, [1, 2, 3, 4, 9]), records(40, [0, 1, 2, 3, 4])
    data = ReidDataset("made", Path(), (), query, gallery, 0, "")
    labels = [
        np.array([getattr(r, key) for r in split])
        for key in ("pid", "camid")
        for split in (query, gallery)
    ]
    found = [rank_distances(draw.random((12, 40)), *labels, ap=ap).mAP for _ in range(1500)]
    error = np.std(found) / np.sqrt(len(found))
    assert abs(chance_map(data, ap=ap) - np.mean(found)) < 4 * error
    assert error < 0.002


CHANCE = 2.41


def collapsed_run(folder: Path, *, seeds: tuple[int, ...] = (0,)) -> Path:
    """Write a run whose last defense has a clean mAP near chance and the highest under attack."""
    run = make_run(
        folder, defenses=("origin", "adv_train", "amd"), datasets=("sidewalk-a",), seeds=seeds
    )
    results = pd.read_csv(run / "results.csv", dtype={"cell": str})
    collapsed = (results["defense"] == "amd") & (results["seed"] == seeds[-1])
    results.loc[collapsed, "mAP"] = 4.74
    results.loc[~collapsed & (results["attack"] != "none"), "mAP"] /= 100
    results.to_csv(run / "results.csv", index=False)
    record = json.loads((run / "run.json").read_text())
    record["datasets"]["sidewalk-a"]["chance"] = CHANCE
    (run / "run.json").write_text(json.dumps(record))
    return run


def test_a_row_near_chance_is_marked_never_bold_and_a_caution(tmp_path: Path) -> None:
    run = read_run(collapsed_run(tmp_path))
    table = run_tables(run)["white_box"]
    names = [row[2].text for row in table.rows]
    assert names == ["Origin", "Adv_train", "AMD (near chance)"]
    assert not any(cell.bold for cell in table.rows[2])
    for column in range(3, table.width):
        measured = [float(row[column].text.split("/")[0]) for row in table.rows]
        best = max((0, 1), key=lambda row: measured[row])
        assert table.rows[best][column].bold
    assert max(float(row[4].text.split("/")[0]) for row in table.rows) == 4.74
    assert "(2.41 on Sidewalk-A)" in table.caption
    assert run_tables(run)["fairness"].rows[2][2].text == "AMD (near chance)"
    (line,) = [line for line in cautions(run) if "collapsed" in line]
    assert "AMD: clean mAP is 4.74, a random ranking gets 2.41" in line
    page = write_report(tmp_path, depth="results").path.read_text()
    assert "AMD is near chance on clean queries, and so not compared." in page


def test_the_best_of_several_runs_is_not_a_collapsed_one(tmp_path: Path) -> None:
    run = read_run(collapsed_run(tmp_path, seeds=(0, 1)))
    tables = run_tables(run)
    assert tables["white_box"].rows[2][2].text == "AMD (near chance)"
    best = tables["white_box_best"].rows[2]
    assert [best[2].text, best[3].text] == ["AMD", "0"]


@pytest.mark.parametrize(
    ("clean", "chance", "near"),
    [(4.74, 2.41, True), (5.9, 2.41, False), (0.9, 0.14, True), (4.0, 0.14, False),
     (45.0, 40.0, True), (47.0, 40.0, False)],
)  # fmt: skip
def test_near_chance_is_twice_chance_or_five_points_above(
    clean: float, chance: float, near: bool
) -> None:
    assert is_near_chance(clean, chance) is near


def test_rank1_by_chance_is_that_of_drawn_neighbours() -> None:
    labels = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, 2])
    draw = torch.Generator().manual_seed(0)
    shares = [
        nearest_is_same(embeddings, embeddings, labels).double().mean().item()
        for embeddings in torch.randn(4000, 9, 64, generator=draw)
    ]
    mean, deviation = rank1_by_chance(labels)
    assert abs(mean - np.mean(shares)) < 0.01
    # Neighbours are drawn together, so hits of a batch are not quite independent.
    assert deviation == pytest.approx(np.std(shares), rel=0.15)


class Collapsing(TinyModel):
    """Embeds everything as one point, from a given pass in evaluation mode on."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.left = after

    def forward(self, images: Tensor) -> Tensor:
        if not self.training:
            self.left -= 1
        embedding = super().forward(images)
        return embedding if self.left >= 0 else embedding * 0 + 1


@pytest.mark.parametrize(("healthy", "said"), [(4, []), (2, ["epoch 3"]), (0, ["epoch 1"])])
def test_a_training_says_once_that_it_has_collapsed(
    healthy: int, said: list[str], tmp_path: Path
) -> None:
    heard: list[str] = []
    train(
        TRAINED["vanilla"],
        Collapsing(healthy),  # type: ignore[arg-type]
        made_data(),
        seed=0,
        folder=tmp_path,
        device=torch.device("cpu"),
        notice=heard.append,
    )
    assert [sentence.split(":")[0] for sentence in heard] == said
    assert all("collapsed: lower lr" in sentence for sentence in heard)


def test_a_run_prints_and_records_that_a_model_is_near_chance(tmp_path: Path) -> None:
    dataset = make_micro_dataset(tmp_path / "data", test=12)
    draw = np.random.default_rng(0)
    for split in ("query", "bounding_box_test"):  # nobody can tell these people apart
        for image in (dataset / split).iterdir():
            Image.fromarray(draw.integers(0, 256, (32, 16, 3), dtype=np.uint8)).save(image)
    file = tmp_path / "grid.toml"
    file.write_text(
        f'name = "hot"\ndatasets = ["path:{dataset}"]\nbackbones = ["small"]\n'
        'pretrained = false\nimage_size = [32, 16]\ndefenses = ["origin"]\nattacks = []\n'
        "[training]\nepochs = 4\nbatch_identities = 4\nbatch_images = 4\nlr = 1e6\n"
    )
    said = io.StringIO()
    run_grid(file, tmp_path / "run", Options(workers=1), Console(file=said, width=400))
    assert "the model tells nobody apart" in said.getvalue()
    record = read_run(tmp_path / "run").record
    (found,) = record.datasets.values()
    data = open_dataset(f"path:{dataset}")
    assert found.chance == pytest.approx(100 * chance_map(data, ap="trapezoid"))
    assert record.near_chance == list(record.cells)
