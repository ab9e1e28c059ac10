"""The report of a real run: figures from its store, and the page in a browser."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rich.console import Console

from benchbox.reports.report import Report, write_report
from benchbox.reports.tables.of_run import write_tables
from benchbox.results.artefacts import Artefacts
from benchbox.results.conditions import Condition
from benchbox.results.run_folder import read_run
from benchbox.runs.options import Options
from benchbox.runs.runner import run_grid
from tests.micro import make_micro_dataset, write_micro_grid

FNA = Condition("fna", 8.0, 10, 1.0)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    dataset = make_micro_dataset(folder / "micro", test=12)
    grid = write_micro_grid(folder / "micro.toml", dataset, extra="seeds = [0]")
    run_grid(grid, folder / "out", Options(workers=1), Console(quiet=True))
    return folder / "out"


@pytest.fixture(scope="module")
def report(run: Path) -> Report:
    write_tables(run)
    return write_report(run)


def test_every_figure_the_run_allows_is_there(run: Path, report: Report) -> None:
    assert report.left_out == []
    names = {path.stem.rpartition("_path_")[0] or path.stem for path in run.glob("figures/*.png")}
    assert names == {
        *("robustness", "budgets", "trade_off", "per_identity", "identity_spread"),
        *("images_per_identity", "redundancy", "redundancy_montage"),
        *("strips", "heatmaps", "embeddings", "contact_sheet"),
    }
    for path in run.glob("figures/*.png"):
        Image.open(path).load()
        assert path.with_suffix(".svg").is_file() or "sheet" in path.name


def test_a_run_without_its_store_says_so_and_keeps_the_rest(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "travelled"
    shutil.copytree(run, copy, ignore=shutil.ignore_patterns("store", ".lock"))
    report = write_report(copy)
    reasons = {figure.title.partition(":")[0]: figure.reason for figure in report.left_out}
    for title in ("What a query retrieves", "Where the models look", "Embeddings"):
        assert "store" in reasons[title]
    assert (copy / "figures" / "robustness.png").is_file()
    page = report.path.read_text()
    assert "Figures left out" in page
    assert "is not on this machine" in page


def test_a_changed_dataset_is_not_shown_as_the_runs_own(run: Path, tmp_path: Path) -> None:
    record = json.loads((run / "run.json").read_text())
    (name,) = record["datasets"]
    moved = tmp_path / "data"
    shutil.copytree(record["datasets"][name]["root"], moved)
    query = next((moved / "query").iterdir())
    Image.new("RGB", (16, 32)).save(query)
    record["datasets"][name]["root"] = str(moved)
    copy = tmp_path / "out"
    shutil.copytree(run, copy, ignore=shutil.ignore_patterns(".lock"))
    (copy / "run.json").write_text(json.dumps(record))
    reasons = [figure.reason for figure in write_report(copy).left_out]
    assert any("its digest differs" in reason for reason in reasons)


@pytest.mark.parametrize("key", ["../../etc", "a" * 63, "A" * 64])
def test_a_stage_key_that_is_no_digest_is_refused(run: Path, tmp_path: Path, key: str) -> None:
    record = json.loads((run / "run.json").read_text())
    next(iter(record["cells"].values()))["stages"]["train"] = key
    copy = tmp_path / "out"
    shutil.copytree(run, copy, ignore=shutil.ignore_patterns("store", ".lock"))
    (copy / "run.json").write_text(json.dumps(record))
    with pytest.raises(Exception, match="stages"):
        read_run(copy)


def test_artefacts_are_those_of_the_cell(run: Path) -> None:
    """The stored model embeds the stored adversarial queries as the attack stage said it does."""
    import torch

    folder = read_run(run)
    store = Artefacts(folder)
    rows = folder.results
    row = rows[(rows["defense"] == "adv_train") & (rows["attack"] == "fna")].iloc[0]
    stored = store.attacked(row["cell"], FNA, queries=int(row["queries"]))
    assert 1 < len(stored.rows) <= 12
    with torch.no_grad():
        embedded = store.network(row["cell"]).model(stored.images)
    expected = store.attacked_features(row["cell"], FNA)[stored.rows]
    torch.testing.assert_close(embedded, expected, atol=1e-4, rtol=0)
    clean = store.images(
        row["cell"], [store.dataset(row["test_dataset"]).query[r] for r in stored.rows]
    )
    assert 0 < float((stored.images - clean).abs().max()) <= 8 / 255 + 1e-6


@pytest.fixture
def page(open_page, report: Report) -> Any:
    """The report, opened from disk."""
    return open_page(report.path)


def test_all_images_of_the_page_load(page, run: Path) -> None:
    sizes = page.eval_on_selector_all("img", "all => all.map(i => [i.complete, i.naturalWidth])")
    assert len(sizes) == len(list(run.glob("figures/*.png")))
    assert all(complete and width > 50 for complete, width in sizes)


def test_tables_sort_by_any_column_both_ways(page) -> None:
    rows = "#tables table >> nth=0 >> tbody tr:not(.group)"

    def column(number: int) -> list[str]:
        return [row.split("\t")[number].strip() for row in page.locator(rows).all_inner_texts()]

    assert column(0) == ["Origin", "BS+MS", "Adv_train"]
    values = [float(text.partition("/")[0]) for text in column(2)]
    button = page.locator("#tables table >> nth=0 >> th[data-column='2'] button")
    button.focus()
    page.keyboard.press("Enter")
    assert [float(t.partition("/")[0]) for t in column(2)] == sorted(values, reverse=True)
    button.click()
    assert [float(t.partition("/")[0]) for t in column(2)] == sorted(values)
    assert page.locator("#tables th[aria-sort='ascending']").count() == 1


def test_a_phone_scrolls_tables_and_not_the_page(page) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    text = page.evaluate("parseFloat(getComputedStyle(document.querySelector('td')).fontSize)")
    assert text >= 12
