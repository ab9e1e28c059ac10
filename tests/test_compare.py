import csv
import io
import json
import math
from pathlib import Path

import pytest

from benchbox.errors import BenchboxError
from benchbox.published.reading import read_published
from benchbox.reports.tables.compare import compare_table, write_compare
from benchbox.reports.tables.shared_cells import nothing_shared, shared_cells
from benchbox.results.run_folder import read_run
from benchbox.tables.as_latex import table_to_latex
from benchbox.tables.as_text import table_to_csv, table_to_markdown
from tests.made_runs import TITLES, make_run, write_csv

FOLDER = Path(__file__).resolve().parents[1] / "leaderboards" / "published"
MADE_TITLES = {
    **TITLES,
    "datasets": {"market1501": "Market", "dukemtmcreid": "Duke", "sidewalk-a": "Sidewalk-A"},
}
LABELS = ["Model", "Dataset", "Defense", "Attack", "Published in", "Seeds"]
FOUR = ["measured", "published", "difference", "mark"]


def market_run(folder: Path, **changes: object) -> Path:
    arguments = {
        "datasets": ("market1501", "sidewalk-a"),
        "transfers": (("market1501", "dukemtmcreid"),),
        "defenses": ("origin", "metric_at", "ddd", "mine"),
        "budgets": (4.0, 8.0),
        "seeds": (0, 1),
        "titles": MADE_TITLES,
        **changes,
    }
    return make_run(folder, **arguments)  # type: ignore[arg-type]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def place(row: dict[str, str]) -> tuple[object, ...]:
    names = ("train_dataset", "test_dataset", "backbone", "defense", "attack")
    return (*(row[name] for name in names), float(row["eps_255"]), int(row["steps"]))


def set_scores(run: Path, wanted: dict[str, str], values: list[tuple[float, float]]) -> None:
    """Replace mAP and rank1 of the rows with these values of columns, one pair a seed."""
    rows = rows_of(run / "results.csv")
    found = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    for row, (mean_ap, rank1) in zip(found, values, strict=True):
        row["mAP"], row["rank1"] = repr(mean_ap), repr(rank1)
    write_csv(run / "results.csv", list(rows[0]), [list(row.values()) for row in rows])


def mean_and_std(values: list[float]) -> tuple[float, float]:
    mean = sum(values) / len(values)
    return mean, math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1))


def test_shared_cells_equal_a_recomputation_from_both_files(tmp_path: Path) -> None:
    run = market_run(tmp_path)
    compared = shared_cells(read_run(run), read_published())
    printed: dict[tuple[object, ...], dict[str, str]] = {}
    tables: dict[tuple[object, ...], list[str]] = {}
    for row in rows_of(FOLDER / "zhou2025.csv"):
        printed[place(row)] = row
        tables.setdefault(place(row), []).append(row["table"])
    measured: dict[tuple[object, ...], list[dict[str, str]]] = {}
    for row in rows_of(run / "results.csv"):
        measured.setdefault(place(row), []).append(row)
    shared = set(printed) & set(measured)
    # Clean and three attacks at 8/255; origin, metric_at and ddd; Market, and Market to Duke.
    assert len(shared) == 4 * 3 * 2
    assert len(compared) == len(shared)
    marks = set()
    for cell in compared:
        key = (
            *(cell.group.train, cell.group.test, cell.group.backbone, cell.defense),
            *(cell.condition.attack, cell.condition.eps_255, cell.condition.steps),
        )
        shared.remove(key)
        assert cell.source == "zhou2025"
        assert list(cell.tables) == tables[key]
        assert set(cell.cells) == {row["cell"] for row in measured[key]}
        for metric in ("mAP", "rank1"):
            mean, std = mean_and_std([float(row[metric]) for row in measured[key]])
            published = float(printed[key][metric])
            got = getattr(cell, metric)
            assert got.mean == pytest.approx(mean, abs=1e-9)
            assert got.std == pytest.approx(std, abs=1e-9)
            assert float(got.published) == published
            assert got.difference == pytest.approx(mean - published, abs=1e-9)
            assert got.mark == ("beyond" if abs(mean - published) > 2 * std else "within")
            marks.add(got.mark)
    assert not shared
    assert "beyond" in marks


def test_the_ddd_row_names_all_tables_that_repeat_it(tmp_path: Path) -> None:
    compared = shared_cells(read_run(market_run(tmp_path)), read_published())
    found = {(cell.defense, cell.group.test): cell.tables for cell in compared}
    assert found == {
        ("origin", "market1501"): ("2",),
        ("metric_at", "market1501"): ("3", "4"),
        ("ddd", "market1501"): ("2", "3", "4"),
        ("origin", "dukemtmcreid"): ("5",),
        ("metric_at", "dukemtmcreid"): ("5",),
        ("ddd", "dukemtmcreid"): ("5",),
    }


@pytest.mark.parametrize(
    ("values", "mark"),
    [
        # Published 68.50/88.21. Two values v ± d have the sample standard deviation d·√2.
        ([(69.5, 89.0), (71.5, 90.0)], "within"),  # mean 70.5: 2.00 against 2 · 1.414
        ([(70.5, 89.0), (72.5, 90.0)], "beyond"),  # mean 71.5: 3.00 against 2 · 1.414
        ([(64.5, 89.0), (66.5, 90.0)], "beyond"),  # mean 65.5: −3.00
        ([(65.5, 89.0), (67.5, 90.0)], "within"),  # mean 66.5: −2.00
        ([(68.5, 89.0), (68.5, 90.0)], "within"),  # no spread, no difference
        ([(68.75, 89.0), (68.75, 90.0)], "beyond"),  # no spread, a difference
    ],
)
def test_a_mark_is_two_standard_deviations_of_the_seeds(
    tmp_path: Path, values: list[tuple[float, float]], mark: str
) -> None:
    run = market_run(tmp_path, defenses=("ddd",), transfers=())
    set_scores(run, {"train_dataset": "market1501", "attack": "none"}, values)
    (clean,) = [c for c in shared_cells(read_run(run), read_published()) if c.condition.is_clean]
    assert clean.mAP.mark == mark


def test_one_seed_has_no_spread(tmp_path: Path) -> None:
    run = market_run(tmp_path, seeds=(3,))
    compared = shared_cells(read_run(run), read_published())
    assert {cell.mAP.mark for cell in compared} == {"one seed"}
    assert {cell.rank1.std for cell in compared} == {None}
    table = compare_table(read_run(run), read_published())
    assert not [cell for row in table.rows for cell in row if "±" in cell.text]
    assert {row[5].text for row in table.rows} == {"1"}


def test_a_cell_with_fewer_seeds_says_how_many(tmp_path: Path) -> None:
    run = market_run(tmp_path, drop=(0,))
    rows = compare_table(read_run(run), read_published()).rows
    assert rows[0][5].text == "1"
    assert rows[0][9].text == "one seed"
    assert {row[5].text for row in rows[1:]} == {"2"}


def test_measured_and_published_have_columns_of_their_own(tmp_path: Path) -> None:
    run = market_run(tmp_path)
    set_scores(
        run,
        {"train_dataset": "market1501", "test_dataset": "market1501", "defense": "ddd"}
        | {"attack": "fna", "eps_255": "8.0"},
        [(30.0, 55.17), (31.0, 55.17)],
    )
    table = compare_table(read_run(run), read_published())
    assert table.headings() == [
        *LABELS,
        *(f"mAP {name}" for name in FOUR),
        *(f"Rank-1 {name}" for name in FOUR),
    ]
    found = [[cell.text for cell in row] for row in table.rows]
    (ddd,) = [row for row in found if row[1:4] == ["Market", "Ours", "FNA 8/255-16"]]
    assert ddd == [
        *("ResNet50", "Market", "Ours", "FNA 8/255-16", "Tables 2, 3, 4", "2"),
        *("30.50±0.71", "31.99", "-1.49", "beyond"),
        *("55.17±0.00", "55.17", "+0.00", "within"),
    ]
    printed = {"0.20", "0.17", "67.20", "88.00"}
    for row in found:
        assert "/" not in "".join(row[6:])
        for start in (6, 10):
            mean, published, difference = (float(t.split("±")[0]) for t in row[start : start + 3])
            assert mean - published == pytest.approx(difference, abs=0.0101)
            printed.discard(row[start + 1])
    assert not printed


def test_the_caption_says_how_both_came_about(tmp_path: Path) -> None:
    caption = compare_table(read_run(market_run(tmp_path)), read_published()).caption
    for said in (
        "trapezoid form",
        "step size 1/255",
        "arXiv 2511.09933",
        "not measured with benchbox",
        "Zhou et al. 2025: average precision not stated, step size not stated",
        "the best of three runs, here it is a mean",
        "DAS (Wei et al. 2024)",
        "“beyond” where the difference exceeds two standard deviations",
        "“one seed”",
        "officially 3368 and 15913",
        "officially 2228 and 17661",
    ):
        assert said in caption
    assert "overrides" not in caption


def test_the_caption_says_that_a_grid_overrides_parameters(tmp_path: Path) -> None:
    run = market_run(tmp_path)
    record = json.loads((run / "run.json").read_text())
    shared = shared_cells(read_run(run), read_published())[0].cells[0]
    record["cells"][shared]["overrides"] = {"recipe": {"ddd": {"modules": ["meta"]}}}
    (run / "run.json").write_text(json.dumps(record))
    assert "overrides" in compare_table(read_run(run), read_published()).caption


def test_the_official_test_is_not_called_another_one(tmp_path: Path) -> None:
    run = market_run(tmp_path, transfers=())
    rows = rows_of(run / "results.csv")
    for row in rows:
        if row["test_dataset"] == "market1501":
            row["queries"], row["gallery"] = "3368", "15913"
    write_csv(run / "results.csv", list(rows[0]), [list(row.values()) for row in rows])
    caption = compare_table(read_run(run), read_published()).caption
    assert "Market: 3368 queries, 15913 gallery images." in caption
    assert "officially" not in caption


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"datasets": ("sidewalk-a",), "transfers": ()}, "the run has sidewalk-a with resnet50"),
        ({"backbones": ("tiny",)}, "with tiny"),
        ({"defenses": ("mine",)}, "Published are dukemtmcreid, market1501 with resnet50"),
    ],
)
def test_nothing_shared_is_said_in_a_sentence(
    tmp_path: Path, changes: dict[str, object], says: str
) -> None:
    run = market_run(tmp_path, **changes)
    folder, published = read_run(run), read_published()
    assert shared_cells(folder, published) == ()
    assert says in nothing_shared(folder, published)
    with pytest.raises(BenchboxError, match="Nothing to compare"):
        compare_table(folder, published)
    assert write_compare(run) == []
    assert not (run / "tables").exists()


@pytest.mark.parametrize(("column", "value"), [("steps", "15"), ("eps_255", "8.5")])
def test_another_budget_or_number_of_steps_is_another_cell(
    tmp_path: Path, column: str, value: str
) -> None:
    run = market_run(tmp_path)
    rows = rows_of(run / "results.csv")
    for row in rows:
        if row["eps_255"] == "8.0":
            row[column] = value
    write_csv(run / "results.csv", list(rows[0]), [list(row.values()) for row in rows])
    assert {c.condition.attack for c in shared_cells(read_run(run), read_published())} == {"none"}


def test_held_out_identities_are_not_the_papers_test(tmp_path: Path) -> None:
    run = market_run(tmp_path)
    record = json.loads((run / "run.json").read_text())
    record["grid"]["validation"] = True
    (run / "run.json").write_text(json.dumps(record))
    folder, published = read_run(run), read_published()
    assert shared_cells(folder, published) == ()
    assert "held out of training" in nothing_shared(folder, published)


def test_values_that_differ_between_tables_stand_for_themselves(tmp_path: Path) -> None:
    folder = tmp_path / "published"
    folder.mkdir()
    (folder / "zhou2025.toml").write_text((FOLDER / "zhou2025.toml").read_text(encoding="utf-8"))
    rows = rows_of(FOLDER / "zhou2025.csv")
    for row in rows:
        if row["table"] == "3" and row["row"].endswith("Market / All modules"):
            row["mAP"] = "60.0"
    write_csv(folder / "zhou2025.csv", list(rows[0]), [list(row.values()) for row in rows])
    run = market_run(tmp_path / "run", defenses=("ddd",), transfers=())
    clean = [c for c in shared_cells(read_run(run), read_published(folder)) if c.condition.is_clean]
    assert [(str(c.mAP.published), c.tables) for c in clean] == [
        ("68.50", ("2", "4")),
        ("60.0", ("3",)),
    ]
    shown = compare_table(read_run(run), read_published(folder)).rows
    assert [row[4].text for row in shown[:2]] == [
        "Tables 2, 4",
        "Table 3",
    ]
    assert shown[1][7].text == "60.0"


def test_two_step_sizes_are_two_rows(tmp_path: Path) -> None:
    run = market_run(tmp_path, defenses=("ddd",), transfers=(), seeds=(0,))
    rows = rows_of(run / "results.csv")
    finer = [dict(row) for row in rows if row["attack"] == "fna" and row["eps_255"] == "8.0"]
    for row in finer:
        row["step_size_255"], row["cell"] = "0.5", f"finer-{row['train_dataset']}"
    rows += finer
    write_csv(run / "results.csv", list(rows[0]), [list(row.values()) for row in rows])
    shown = [row[3].text for row in compare_table(read_run(run), read_published()).rows]
    assert [text for text in shown if text.startswith("FNA")] == [
        "FNA 8/255-16 by 0.5/255",
        "FNA 8/255-16 by 1/255",
    ]


def test_the_comparison_is_written_in_every_form(tmp_path: Path) -> None:
    run = market_run(tmp_path)
    table = compare_table(read_run(run), read_published())
    paths = write_compare(run)
    assert [path.relative_to(run).as_posix() for path in paths] == [
        "tables/compare.md",
        "tables/compare.csv",
        "tables/compare.tex",
    ]
    assert [path.read_text() for path in paths] == [
        table_to_markdown(table),
        table_to_csv(table),
        table_to_latex(table),
    ]
    for row in csv.DictReader(io.StringIO(paths[1].read_text())):
        assert math.isfinite(float(row["mAP difference"]))
        assert math.isfinite(float(row["Rank-1 published"]))
