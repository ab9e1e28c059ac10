"""Is the order a paper's, and what does a module gain: against counts and draws by hand."""

import csv
import re
from itertools import combinations
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from benchbox.cli.main import app
from benchbox.published.order import published_orders
from benchbox.published.reading import read_published
from benchbox.reports.report import write_report
from benchbox.reports.tables.of_run import run_tables
from benchbox.reports.tables.order import agreement, order_tables
from benchbox.results.run_folder import read_run
from tests.made_runs import make_run

PUBLISHED = Path(__file__).parents[1] / "leaderboards" / "published"
TABLE_2 = ("origin", "bit_squeezing", "median_smoothing", "bs_ms", "amd", "adv_train", "das", "ddd")
TABLE_3 = ("metric_at", "metric_at_diffusion", "metric_at_meta", "metric_at_fnes", "ddd")


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=3, max_size=8))
def test_tau_is_the_count_of_pairs(values: list[tuple[int, int]]) -> None:
    measured = {f"d{place}": {0: float(ours)} for place, (ours, _) in enumerate(values)}
    printed = {f"d{place}": float(theirs) for place, (_, theirs) in enumerate(values)}
    found = agreement(measured, printed)
    assert found is not None
    signs = [(np.sign(a - c), np.sign(b - d)) for (a, b), (c, d) in combinations(values, 2)]
    ours, theirs = (sum(bool(pair[side]) for pair in signs) for side in (0, 1))
    if not ours or not theirs:
        assert np.isnan(found.tau)
    else:
        concordant = sum(a * b for a, b in signs)
        assert found.tau == pytest.approx(concordant / np.sqrt(ours * theirs))
    assert len(found.otherwise) == sum(a * b < 0 for a, b in signs)
    for ahead, behind in found.otherwise:
        assert printed[ahead] > printed[behind]
        assert measured[ahead][0] < measured[behind][0]


def test_of_two_rows_nothing_is_said_and_seeds_count_where_all_rows_have_them() -> None:
    printed = {"a": 1.0, "b": 2.0, "c": 3.0}
    assert agreement({"a": {0: 1.0}, "b": {0: 2.0}, "other": {0: 3.0}}, printed) is None
    measured = {"a": {0: 1.0, 1: 9.0}, "b": {0: 2.0, 1: 2.0}, "c": {0: 3.0}}
    found = agreement(measured, printed)
    assert found is not None
    assert found.by_seed == (1.0,)
    # The means are 5, 2 and 3.
    assert found.otherwise == (("b", "a"), ("c", "a"))


def test_the_lowest_that_is_printed_stands_for_the_worst_case() -> None:
    orders = {(o.table, o.test): o for o in published_orders(read_published(PUBLISHED))}
    rows = list(csv.DictReader((PUBLISHED / "zhou2025.csv").read_text().splitlines()))
    for (table, test), order in orders.items():
        for defense, value in order.lowest(8.0).items():
            cells = [
                float(r["mAP"])
                for r in rows
                if (r["table"], r["test_dataset"], r["defense"]) == (table, test, defense)
                and r["eps_255"] == "8"
                and r["train_dataset"] == order.train
            ]
            assert value == min(cells)
    assert len(orders["2", "market1501"].lowest(8.0)) == len(TABLE_2)


def white_box(folder: Path, **changes) -> Path:
    attacks = ("fna", "sma", "ifgsm", "worst_case")
    return make_run(folder, defenses=TABLE_2, attacks=attacks, seeds=(0, 1), **changes)


def test_a_run_folder_has_its_tau_with_each_block_of_the_paper(tmp_path: Path) -> None:
    run = white_box(tmp_path / "run")
    published = read_published(PUBLISHED)
    tables = order_tables(read_run(run), published)
    table = tables["order"]
    headings = table.headings()
    rows = [dict(zip(headings, (c.text for c in row), strict=True)) for row in table.rows]
    of_market = [r for r in rows if "Table 2, market1501" in r["Printed in"]]
    assert [row["Dataset"] for row in of_market] == ["Sidewalk-A", "Sidewalk-B"]
    assert {row["Rows"] for row in of_market} == {"8"}
    # By hand, of one cell: the means of the file against the paper's file.
    results = list(csv.DictReader((run / "results.csv").read_text().splitlines()))
    printed = list(csv.DictReader((PUBLISHED / "zhou2025.csv").read_text().splitlines()))
    ours = {
        d: fmean(
            float(r["mAP"])
            for r in results
            if (r["test_dataset"], r["defense"], r["attack"]) == ("sidewalk-a", d, "fna")
            and float(r["eps_255"]) == 8
        )
        for d in TABLE_2
    }
    theirs = {
        r["defense"]: float(r["mAP"])
        for r in printed
        if (r["table"], r["test_dataset"], r["attack"], r["eps_255"])
        == ("2", "market1501", "fna", "8")
    }
    signs = [
        np.sign(ours[a] - ours[b]) * np.sign(theirs[a] - theirs[b])
        for a, b in combinations(TABLE_2, 2)
    ]
    tau = sum(signs) / len(signs)
    column = next(name for name in headings if name.startswith("FNA 8/255"))
    assert of_market[0][column].startswith(f"{tau:.2f} [")
    # Neither table has a number of the paper or of the run in it: places only.
    assert not any(re.search(r"\d\d\.\d", cell.text) for row in table.rows for cell in row)
    pairs = tables["order_pairs"]
    first = next(row for row in pairs.rows if row[2].text.endswith("Table 2, market1501"))
    assert first[4].text == str(sum(sign < 0 for sign in signs))


def test_the_study_and_the_report_say_it_and_a_held_out_run_does_not(tmp_path: Path) -> None:
    run = white_box(tmp_path / "run")
    done = CliRunner().invoke(app, ["study", "order", str(run)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert {path.name for path in (run / "tables").glob("order*.md")} == {
        "order.md",
        "order_pairs.md",
    }
    page = write_report(run, depth="results").path.read_text()
    assert '<section id="order">' in page
    held_out = white_box(tmp_path / "validation", grid={"validation": True})
    assert order_tables(read_run(held_out), read_published(PUBLISHED)) == {}
    few = make_run(tmp_path / "few", defenses=("origin", "ddd"))
    assert order_tables(read_run(few), read_published(PUBLISHED)) == {}


def test_a_gain_is_the_mean_difference_with_its_interval_over_identities(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", defenses=TABLE_3, datasets=("sidewalk-a",), seeds=(0, 1, 2))
    table = run_tables(read_run(run))["ablation_gains"]
    titles = [row[2].text for row in table.rows]
    assert "metric_at" not in titles
    assert len(titles) == len(TABLE_3) - 1
    results = list(csv.DictReader((run / "results.csv").read_text().splitlines()))
    per_id = list(csv.DictReader((run / "per_id.csv").read_text().splitlines()))

    def aps(defense: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
        (cell,) = (
            r["cell"]
            for r in results
            if (r["defense"], r["attack"], int(r["seed"])) == (defense, "fna", seed)
            and float(r["eps_255"]) == 8
        )
        rows = [r for r in per_id if r["cell"] == cell]
        return np.array([float(r["ap"]) for r in rows]), np.array([int(r["queries"]) for r in rows])

    column = table.headings().index(next(h for h in table.headings() if h == "8/255-16 FNA"))
    draw = np.random.default_rng(7)
    for row, defense in zip(table.rows, TABLE_3[1:], strict=True):
        differences = [aps(defense, s)[0] - aps("metric_at", s)[0] for s in (0, 1, 2)]
        queries = aps("metric_at", 0)[1]
        points = [100 * np.average(d, weights=queries) for d in differences]
        mean = np.mean(differences, axis=0)
        drawn = draw.integers(0, len(mean), (20_000, len(mean)))
        means = 100 * (mean * queries)[drawn].sum(1) / queries[drawn].sum(1)
        found = re.fullmatch(
            r"([+-][\d.]+) \[([+-][\d.]+), ([+-][\d.]+)\] (\d)/3", row[column].text
        )
        assert found is not None
        assert float(found[1]) == pytest.approx(np.mean(points), abs=0.006)
        assert int(found[4]) == sum(point > 0 for point in points)
        low, high = np.quantile(means, [0.025, 0.975])
        # Another seed of the draws, and ten times as many: a tenth of the width is noise enough.
        assert float(found[2]) == pytest.approx(low, abs=(high - low) / 10)
        assert float(found[3]) == pytest.approx(high, abs=(high - low) / 10)
        assert row[column].bold == (float(found[2]) > 0 or float(found[3]) < 0)


def test_without_the_row_that_others_are_held_against_there_is_no_such_table(
    tmp_path: Path,
) -> None:
    run = make_run(tmp_path / "run", defenses=("metric_at_meta", "ddd"))
    assert "ablation_gains" not in run_tables(read_run(run))
