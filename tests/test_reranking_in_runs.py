"""Re-rankings as rows of a run of their own, which nothing takes for the plain ones."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from benchbox.data.reading import read_dataset
from benchbox.errors import BenchboxError
from benchbox.evaluation.ranking import Labels
from benchbox.evaluation.valid_matches import people_and_cameras
from benchbox.regression.baseline import make_baseline
from benchbox.reports.findings import findings
from benchbox.reports.tables.of_run import run_tables
from benchbox.reranking.base import evaluate_reranked
from benchbox.reranking.rankings import RANKINGS
from benchbox.results.artefacts import Artefacts
from benchbox.results.run_folder import condition_of, read_run
from benchbox.runs.runner import Options, run_grid
from tests.micro import make_micro_dataset, write_micro_grid

KEYS = 'rankings = ["k_reciprocal", "plain", "query_expansion"]\n'


def write_grid(file: Path, dataset: Path, keys: str) -> Path:
    write_micro_grid(file, dataset, epochs=1, extra=keys)
    text = file.read_text().replace('"origin", "bs_ms", "adv_train"', '"origin"')
    text = text.replace('["fna", "sma"]', '["fna", "worst_case"]')
    file.write_text(
        text.split("[recipe.adv_train]")[0] + '[attack.worst_case]\nbudgets = ["8/255"]\n'
    )
    return file


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    return make_micro_dataset(tmp_path_factory.mktemp("data") / "micro")


@pytest.fixture(scope="module")
def plain(dataset, tmp_path_factory) -> Path:
    """A run of before there were re-rankings."""
    folder = tmp_path_factory.mktemp("plain")
    options = Options(workers=1)
    run_grid(
        write_grid(folder / "g.toml", dataset, ""), folder / "out", options, Console(quiet=True)
    )
    return folder / "out"


@pytest.fixture(scope="module")
def run(plain, dataset, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    grid = write_grid(folder / "g.toml", dataset, KEYS)
    options = Options(workers=1, store=plain / "store")
    run_grid(grid, folder / "out", options, Console(quiet=True))
    return folder / "out"


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "results.csv").open() as stream:
        return list(csv.DictReader(stream))


def test_each_cell_has_a_row_for_every_ranking(run: Path) -> None:
    found = rows(run)
    cells = {(row["attack"], row["eps_255"]) for row in found}
    assert len(cells) == 1 + 2 + 1
    for ranking in ("plain", *RANKINGS.keys() - {"multi_query"}):
        of_it = [row for row in found if row["ranking"] == ranking]
        assert {(row["attack"], row["eps_255"]) for row in of_it} == cells
        assert len(of_it) == len(cells)
    assert len({row["cell"] for row in found}) == len(found)


def test_the_numbers_are_those_of_the_stored_embeddings(run: Path, dataset: Path) -> None:
    folder = read_run(run)
    store = Artefacts(folder)
    query, gallery = people_and_cameras(read_dataset(dataset))
    (query_pids, query_camids), (gallery_pids, gallery_camids) = (
        np.array(split).T for split in (query, gallery)
    )
    labels = Labels(query_pids, gallery_pids, query_camids, gallery_camids)
    assert folder.reranked is not None
    for row in folder.reranked.to_dict("records"):
        if row["attack"] == "worst_case":
            continue
        features = store.features(row["cell"])
        condition = condition_of(row)
        shown = (
            features["query"]
            if condition.is_clean
            else store.attacked_features(row["cell"], condition)
        )
        reranking = RANKINGS[row["ranking"]]
        expected = evaluate_reranked(reranking, shown, features["gallery"], labels, ap="trapezoid")
        assert row["mAP"] == pytest.approx(100 * expected.mAP)
        assert row["minp"] == pytest.approx(100 * expected.mINP)
        assert row["rank5"] == pytest.approx(100 * expected.cmc[4])


def test_the_worst_case_is_pooled_under_every_ranking(run: Path) -> None:
    found = read_run(run).reranked
    assert found is not None
    for _, of_it in found.groupby("ranking"):
        by_attack = of_it[of_it["eps_255"] == 8.0].set_index("attack")["mAP"]
        assert by_attack["worst_case"] <= by_attack["fna"]


def test_the_plain_rows_are_what_they_are_without_it(run: Path, plain: Path) -> None:
    one, other = read_run(run), read_run(plain)
    assert other.reranked is None
    assert one.results.equals(other.results)
    assert (run / "per_id.csv").read_bytes() == (plain / "per_id.csv").read_bytes()
    tables, before = run_tables(one), run_tables(other)
    assert set(tables) - set(before) == {"reranked"}
    for name, table in before.items():
        assert tables[name] == table, name
    assert make_baseline(run).cells == make_baseline(plain).cells


def test_the_report_has_a_table_of_rankings(run: Path) -> None:
    folder = read_run(run)
    table = run_tables(folder)["reranked"]
    titles = ["plain", "k-reciprocal re-ranking", "query expansion"]
    assert [line[3].text for line in table.rows] == titles
    first = folder.results.iloc[0]
    assert table.rows[0][4].text == f"{first['mAP']:.2f}/{first['rank1']:.2f}"
    assert folder.reranked is not None
    (clean,) = folder.reranked[
        (folder.reranked["ranking"] == "k_reciprocal") & (folder.reranked["attack"] == "none")
    ].to_dict("records")
    assert table.rows[1][4].text == f"{clean['mAP']:.2f}/{clean['rank1']:.2f}"


def test_the_findings_say_whether_robustness_survives(run: Path, plain: Path) -> None:
    folder = read_run(run)
    (found,) = [each for each in findings(folder) if each.about.endswith(", re-ranked")]
    assert folder.reranked is not None
    chosen = folder.reranked[folder.reranked["ranking"] == "k_reciprocal"].set_index(
        ["attack", "eps_255"]
    )["mAP"]
    for value in (chosen["worst_case", 8.0], chosen["none", 0.0]):
        assert f"{value:.1f}" in found.says
    assert found.says.count("With ") == 2
    assert not any(each.about.endswith(", re-ranked") for each in findings(read_run(plain)))


def test_a_run_records_the_stages_of_re_ranked_cells(run: Path) -> None:
    record = json.loads((run / "run.json").read_text())
    for row in rows(run):
        kinds = set(record["cells"][row["cell"]]["stages"])
        assert ("rank" if row["ranking"] == "plain" else "rerank") in kinds


def test_what_cannot_be_ranked_so_is_one_line(plain: Path, dataset: Path, tmp_path: Path) -> None:
    grid = write_grid(tmp_path / "g.toml", dataset, 'rankings = ["multi_query"]\n')
    options = Options(workers=1, store=plain / "store")
    outcome = run_grid(grid, tmp_path / "out", options, Console(quiet=True))
    assert outcome.failures
    assert all("multi_query: no two queries show one identity" in line for line in outcome.failures)
    assert len(read_run(tmp_path / "out").results) == 4


def test_a_table_of_re_ranked_rows_alone_is_refused(run: Path, tmp_path: Path) -> None:
    for name in ("run.json", "per_id.csv"):
        (tmp_path / name).write_bytes((run / name).read_bytes())
    lines = (run / "results.csv").read_text().splitlines(keepends=True)
    (tmp_path / "results.csv").write_text("".join(line for line in lines if ",plain," not in line))
    with pytest.raises(BenchboxError, match="holds no cell yet"):
        read_run(tmp_path)


@pytest.mark.parametrize(("rule", "skipped"), [("ignore", 1), ("keep", 0)])
def test_people_without_a_second_camera_are_counted_under_every_ranking(
    tmp_path: Path, rule: str, skipped: int
) -> None:
    """A query whose person no other camera saw is left out, or ranked, as the set's rule says."""
    dataset = make_micro_dataset(tmp_path / "micro")
    for file in (dataset / "bounding_box_test").glob("0009_c[23]*"):
        file.unlink()
    grid = write_grid(tmp_path / "g.toml", dataset, KEYS)
    text = grid.read_text().partition("[attack.worst_case]")[0]
    text += f'[dataset."path:{dataset}"]\nsame_camera = "{rule}"\n'
    grid.write_text(text.replace('["fna", "worst_case"]', "[]"))
    run_grid(grid, tmp_path / "out", Options(workers=1), Console(quiet=True))
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    found = rows(tmp_path / "out")
    assert [row["ranking"] for row in found] == ["plain", "k_reciprocal", "query_expansion"]
    for row in found:
        assert record["cells"][row["cell"]]["skipped_queries"] == skipped
        assert int(row["queries"]) == 10 - skipped
