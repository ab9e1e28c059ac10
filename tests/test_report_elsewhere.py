"""A report where the run's data is not, or not all: what can be drawn is, and nothing is stale."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.console import Console

from benchbox.data.layouts.market_folders import MarketFolders
from benchbox.data.protocol import ReidDataset
from benchbox.data.sources.sidewalk import SidewalkSource
from benchbox.data.sources.source import Source
from benchbox.errors import BenchboxError
from benchbox.files.progress import Progress, silent
from benchbox.reports.drawings.draw_all import FAMILIES, drawings
from benchbox.reports.drawings.of_data import drawings_of_data
from benchbox.reports.report import write_report
from benchbox.results.artefacts import Artefacts
from benchbox.results.run_folder import read_run
from benchbox.runs.options import Options
from benchbox.runs.runner import run_grid
from tests.made_runs import make_run
from tests.micro import make_micro_dataset

SPANNING = ("identity_spread", "images_per_identity", "redundancy", "redundancy_montage")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run on two datasets, of which the second is gone."""
    place = tmp_path_factory.mktemp("elsewhere")
    first = make_micro_dataset(place / "first", test=6)
    second = make_micro_dataset(place / "second", test=7)
    grid = place / "two.toml"
    grid.write_text(
        f'name = "two"\ndatasets = ["path:{first}", "path:{second}"]\nbackbones = ["small"]\n'
        'pretrained = false\nimage_size = [32, 16]\ndefenses = ["origin"]\nattacks = ["fna"]\n'
        'budgets = ["8/255"]\nsteps = 2\n[training]\nepochs = 1\nbatch_identities = 4\n'
    )
    run_grid(grid, place / "out", Options(workers=1), Console(quiet=True))
    shutil.move(second, place / "away")
    return place / "out"


def test_figures_that_span_datasets_draw_those_that_are_here(run: Path) -> None:
    found = {each.file: each for each in drawings_of_data(Artefacts(read_run(run)))}
    for name in SPANNING:
        figure, caption = found[name].draw()
        assert "Without path:" in caption
        assert "second" in caption.partition("Without")[2]
        assert "is not on this machine" in caption
        assert figure.get_axes() or name == "redundancy_montage"  # no two images are that alike
    figure, _ = found["identity_spread"].draw()
    titles = " ".join(axes.get_title(loc="left") for axes in figure.get_axes())
    assert "first" in titles
    assert "second" not in titles


def test_without_any_dataset_the_figure_is_left_out(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "out"
    shutil.copytree(run, copy, ignore=shutil.ignore_patterns(".lock", "store"))
    record = json.loads((copy / "run.json").read_text())
    for dataset in record["datasets"].values():
        dataset["root"] = str(tmp_path / "nowhere")
    (copy / "run.json").write_text(json.dumps(record))
    found = {each.file: each for each in drawings_of_data(Artefacts(read_run(copy)))}
    for name in SPANNING:
        with pytest.raises(BenchboxError, match="is not on this machine"):
            found[name].draw()


@dataclass(frozen=True, kw_only=True)
class Rendered(SidewalkSource):
    """Renders by copying a folder."""

    original: Path

    def prepare(self, folder: Path, *, size: str, workers: int, progress: Progress) -> None:
        assert (size, workers) == ("small", 2)
        shutil.copytree(self.original, folder)

    def read(self, folder: Path, *, progress: Progress = silent) -> ReidDataset:
        return Source.read(self, folder, progress=progress)


def test_a_rendered_dataset_is_rendered_where_it_is_missing(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = run.parent / "first"
    record = json.loads((run / "run.json").read_text())
    digest = record["datasets"][f"path:{original}"]["digest"]
    made = make_run(tmp_path / "made", datasets=("sidewalk-a",))
    record = json.loads((made / "run.json").read_text())
    record["datasets"]["sidewalk-a"] |= {
        "root": str(tmp_path / "gone"), "size": "small", "digest": digest
    }  # fmt: skip
    (made / "run.json").write_text(json.dumps(record))
    source = Rendered(
        name="sidewalk-a", title="A", layout=MarketFolders(), obtain="", citation="", licence="",
        original=original,
    )  # fmt: skip
    monkeypatch.setenv("BENCHBOX_DATA", str(tmp_path / "data"))
    store = Artefacts(read_run(made), sources={"sidewalk-a": source})
    with pytest.raises(BenchboxError, match="is not on this machine"):
        store.dataset("sidewalk-a")
    store.render_missing(workers=2)
    assert store.dataset("sidewalk-a").root == tmp_path / "data" / "sidewalk-a-small"
    store.render_missing(workers=2)  # it is there now: nothing is rendered twice


def test_a_report_leaves_no_figures_of_an_earlier_one(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    figures = tmp_path / "figures"
    figures.mkdir()
    stale = [figures / f"{name}old.png" for name in FAMILIES if name.endswith("_")]
    stale += [figures / "redundancy.svg", figures / "identity_spread.png"]
    own = [figures / "mine.png", figures / "strips.txt", figures / "robustness.pdf"]
    for path in (*stale, *own):
        path.write_bytes(b"older")
    write_report(run, depth="results")
    assert not [path.name for path in stale if path.exists()]
    assert all(path.read_bytes() == b"older" for path in own)
    assert (figures / "robustness.png").stat().st_size > 1000


def test_every_figure_is_of_a_family(run: Path) -> None:
    for drawing in drawings(read_run(run), "all"):
        several = tuple(name for name in FAMILIES if name.endswith("_"))
        assert drawing.file in FAMILIES or drawing.file.startswith(several), drawing.file
