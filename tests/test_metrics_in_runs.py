"""MINP and Rank-k at any k: measured by runs, read back, shown in tables where a grid asks."""

import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from safetensors.numpy import load_file

from benchbox.data.reading import read_dataset
from benchbox.errors import BenchboxError
from benchbox.evaluation.valid_matches import people_and_cameras
from benchbox.reports.conventions import conventions
from benchbox.reports.tables.of_run import run_tables
from benchbox.results.per_query import disagreements, read_per_query
from benchbox.results.run_folder import read_run
from benchbox.results.stages import RunStages
from benchbox.runs.grid_file import read_grid
from benchbox.runs.registry import load_registry
from benchbox.runs.runner import Options, run_grid
from tests.made_runs import RESULT_COLUMNS, make_run, write_csv
from tests.micro import make_micro_dataset, write_micro_grid

KEYS = 'ranks = [1, 3, 20]\nshown = ["mAP", "minp", "rank3"]\n'


def write_grid(file: Path, dataset: Path, keys: str) -> Path:
    write_micro_grid(file, dataset, epochs=1, extra=keys)
    text = file.read_text().replace('"origin", "bs_ms", "adv_train"', '"origin"')
    file.write_text(text.split("[recipe.adv_train]")[0].replace('["fna", "sma"]', '["fna"]'))
    return file


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    return make_micro_dataset(tmp_path_factory.mktemp("data") / "micro")


@pytest.fixture(scope="module")
def run(dataset, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    grid = write_grid(folder / "micro.toml", dataset, KEYS)
    run_grid(grid, folder / "out", Options(workers=1), Console(quiet=True))
    return folder / "out"


def test_a_run_measures_minp_and_the_ranks_that_are_asked(run: Path, dataset: Path) -> None:
    folder = read_run(run)
    clean = folder.results.iloc[0]
    ranks = [name for name in folder.results if name.startswith("rank")]
    assert set(ranks) == {"rank1", "rank3", "rank5", "rank10", "rank20"}
    stored = load_file(RunStages(folder).file(clean["cell"], "embed", "features.safetensors"))
    inps, firsts = [], []
    query, gallery = people_and_cameras(read_dataset(dataset))
    for features, (pid, camid) in zip(stored["query"], query, strict=True):
        order = np.argsort(np.linalg.norm(stored["gallery"] - features, axis=1), kind="stable")
        judged = [gallery[item] for item in order if gallery[item] != (pid, camid)]
        places = [rank for rank, item in enumerate(judged, start=1) if item[0] == pid]
        inps.append(len(places) / places[-1])
        firsts.append(places[0])
    assert clean["minp"] == pytest.approx(100 * np.mean(inps))
    for name in ranks:
        k = int(name.removeprefix("rank"))
        assert clean[name] == pytest.approx(100 * np.mean(np.array(firsts) <= k))


def test_the_store_and_the_table_agree(run: Path) -> None:
    folder = read_run(run)
    for row in folder.results.to_dict("records"):
        found = read_per_query(RunStages(folder).file(row["cell"], "rank", "per_query.json"))
        assert disagreements(row, found) == []
        assert "minp" in disagreements({**row, "minp": row["minp"] + 1}, found)[0]


def test_per_query_files_of_before_are_read_and_mixed_ones_refused(tmp_path: Path) -> None:
    rows = [
        {"query": name, "pid": 1, "ap": 0.5, "first_hit": 2, "inp": 0.25} for name in ("a", "b")
    ]
    old = [{key: value for key, value in row.items() if key != "inp"} for row in rows]
    file = tmp_path / "per_query.json"
    for content, inp in ((rows, [0.25, 0.25]), (old, None)):
        file.write_text(json.dumps(content))
        found = read_per_query(file).inp
        assert inp == (None if found is None else found.tolist())
    file.write_text(json.dumps([rows[0], old[1]]))
    with pytest.raises(BenchboxError, match="inp: a query with a match has none"):
        read_per_query(file)


def test_ranks_change_no_stage(run: Path, dataset: Path, tmp_path: Path) -> None:
    grid = write_grid(tmp_path / "micro.toml", dataset, "ranks = [2]\n")
    options = Options(workers=1, store=run / "store")
    stages = set((run / "store").glob("*/stage.json"))
    run_grid(grid, tmp_path / "out", options, Console(quiet=True))
    assert set((run / "store").glob("*/stage.json")) == stages
    both = [read_run(folder).results for folder in (run, tmp_path / "out")]
    assert list(both[0]["cell"]) == list(both[1]["cell"])
    assert "rank2" in both[1]
    assert "rank20" not in both[1]


def test_tables_show_what_the_grid_asks_for(run: Path) -> None:
    folder = read_run(run)
    table = run_tables(folder)["white_box"]
    row = folder.results.iloc[0]
    shown = "/".join(f"{row[name]:.2f}" for name in ("mAP", "minp", "rank3"))
    assert [cell.text for cell in table.rows[0]][3] == shown
    assert table.caption.startswith("mAP/mINP/Rank-3 in %")
    assert dict(conventions(folder))["Numbers"].startswith("mAP and mINP and Rank-3 in %")


def test_a_run_of_before_is_read_and_shows_what_it_has(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "old", defenses=("origin",))
    table = run_tables(read_run(folder))["white_box"]
    assert table.caption.startswith("mAP/Rank-1 in %")
    assert "minp" not in read_run(folder).results
    record = json.loads((folder / "run.json").read_text())
    record["grid"]["shown"] = ["mAP", "minp", "rank10"]
    (folder / "run.json").write_text(json.dumps(record))
    assert run_tables(read_run(folder))["white_box"].caption.startswith("mAP/Rank-10 in %")


@pytest.mark.parametrize("value", ["", "many", "101", "-1", "nan"])
def test_a_faulty_further_column_is_named(tmp_path: Path, value: str) -> None:
    folder = make_run(tmp_path / "run", defenses=("origin",))
    results = read_run(folder).results
    rows = [[*map(str, row), value] for row in results.to_numpy().tolist()]
    write_csv(folder / "results.csv", [*RESULT_COLUMNS, "minp"], rows)
    with pytest.raises(BenchboxError, match=r"row 1, column minp: .*a percentage from 0 to 100"):
        read_run(folder)


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ("ranks = [0]", "ranks"),
        ("ranks = [3, 3]", "stands there twice"),
        ('shown = ["rank1", "mAP"]', "expected mAP first"),
        ('shown = ["mAP", "rank7"]', "'rank7' is not measured"),
    ],
)
def test_faulty_keys_are_named(tmp_path: Path, dataset: Path, keys: str, says: str) -> None:
    grid = write_grid(tmp_path / "micro.toml", dataset, keys)
    with pytest.raises(BenchboxError, match=says):
        read_grid(grid, load_registry())
