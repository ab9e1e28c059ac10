import csv
import math
import statistics
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchbox.reports.tables.fairness import fairness
from benchbox.results.run_folder import read_run
from benchbox.statistics.fairness import STATISTICS, gini, spread, worst_decile
from benchbox.tables.table import Table
from tests.made_runs import TITLES, make_run, write_csv

SHARES = st.lists(st.floats(0, 1), min_size=1, max_size=60)


def brute_gini(values: list[float]) -> float:
    """The definition: Σ_ij |x_i − x_j| / (2 n² mean)."""
    n, mean = len(values), math.fsum(values) / len(values)
    return math.fsum(abs(a - b) for a, b in product(values, values)) / (2 * n * n * mean)


@given(SHARES.filter(lambda values: max(values) > 1e-100))
def test_gini_is_the_mean_difference_over_twice_the_mean(values: list[float]) -> None:
    assert gini(values) == pytest.approx(brute_gini(values), abs=1e-12)
    assert 0 <= gini(values) <= 1 - 1 / len(values) + 1e-12


@given(SHARES.filter(lambda values: max(values) > 0.01), st.floats(1e-6, 1e6))
def test_gini_does_not_change_with_the_scale_or_the_order(
    values: list[float], scale: float
) -> None:
    assert gini([scale * value for value in values]) == pytest.approx(gini(values), abs=1e-9)
    assert gini(values[::-1]) == gini(values)
    # Nor when every identity is there twice.
    assert gini(values * 2) == pytest.approx(gini(values), abs=1e-9)


def test_gini_of_known_shares() -> None:
    assert gini([0.3] * 7) == 0
    assert gini([0, 0, 0, 1]) == pytest.approx(0.75)
    assert gini([1, 2, 3]) == pytest.approx(2 / 9)
    assert math.isnan(gini([0, 0, 0]))
    for wrong in ([], [math.nan, 1], [-0.1, 1]):
        with pytest.raises(ValueError, match="value"):
            gini(wrong)


@given(SHARES)
def test_worst_decile_is_the_mean_of_a_tenth_rounded_up(values: list[float]) -> None:
    rest, lowest = list(values), []
    while 10 * len(lowest) < len(values):
        lowest.append(min(rest))
        rest.remove(lowest[-1])
    assert worst_decile(values) == pytest.approx(math.fsum(lowest) / len(lowest))


@pytest.mark.parametrize(("n", "counted"), [(1, 1), (10, 1), (11, 2), (20, 2), (21, 3), (750, 75)])
def test_a_tenth_is_rounded_up(n: int, counted: int) -> None:
    assert worst_decile(np.arange(n)) == pytest.approx((counted - 1) / 2)


def test_a_single_identity_has_no_deviation() -> None:
    mean, std, worst, coefficient = spread([0.4])
    assert (mean, worst, coefficient) == (pytest.approx(40), pytest.approx(40), 0)
    assert math.isnan(std)


def printed(table: Table) -> dict[tuple[str, str, str], dict[str, list[str]]]:
    """Return label columns → condition → the four texts under it."""
    tops, belows = table.header_row(0), table.header_row(1)
    rows = {}
    for row in table.rows:
        texts = [cell.text for cell in row]
        values: dict[str, list[str]] = {}
        for place in range(table.label_columns, table.width):
            values.setdefault(tops[place], []).append(texts[place])
            assert belows[place] == STATISTICS[len(values[tops[place]]) - 1]
        rows[texts[0], texts[1], texts[2]] = values
    return rows


def recomputed(run: Path) -> dict[tuple[str, str, str], dict[str, list[str]]]:
    """Return the same from the files, with plain loops."""
    with (run / "per_id.csv").open(newline="") as stream:
        per_id = list(csv.DictReader(stream))
    by_cell: dict[str, list[float]] = {}
    for row in per_id:
        by_cell.setdefault(row["cell"], []).append(float(row["ap"]))
    with (run / "results.csv").open(newline="") as stream:
        results = list(csv.DictReader(stream))
    smallest: dict[str, float] = {}
    for row in results:
        eps = float(row["eps_255"])
        smallest[row["attack"]] = min(smallest.get(row["attack"], eps), eps)
    numbers: dict[tuple[tuple[str, str, str], str], list[list[float]]] = {}
    for row in results:
        if float(row["eps_255"]) != smallest[row["attack"]] or row["cell"] not in by_cell:
            continue
        ap = sorted(by_cell[row["cell"]])
        tenth = ap[: math.ceil(len(ap) / 10)]
        labels = (
            TITLES["backbones"][row["backbone"]],
            TITLES["datasets"][row["test_dataset"]],
            TITLES["defenses"][row["defense"]],
        )
        budget = f" {float(row['eps_255']):g}/255-{row['steps']}" if row["attack"] != "none" else ""
        heading = TITLES["attacks"][row["attack"]] + budget
        numbers.setdefault((labels, heading), []).append(
            [
                100 * math.fsum(ap) / len(ap),
                100 * statistics.stdev(ap),
                100 * math.fsum(tenth) / len(tenth),
                brute_gini(ap),
            ]
        )
    texts: dict[tuple[str, str, str], dict[str, list[str]]] = {}
    for (labels, heading), seeds in numbers.items():
        cells = []
        for place, digits in enumerate((2, 2, 2, 3)):
            column = [seed[place] for seed in seeds]
            text = f"{sum(column) / len(column):.{digits}f}"
            if len(column) > 1:
                text += f"±{np.std(column, ddof=1):.{digits}f}"
            cells.append(text)
        texts.setdefault(labels, {})[heading] = cells
    return texts


@pytest.mark.parametrize("seeds", [(0,), (5, 1, 2)])
def test_fairness_equals_a_recomputation_from_the_files(
    tmp_path: Path, seeds: tuple[int, ...]
) -> None:
    run = make_run(tmp_path, seeds=seeds, backbones=("resnet50", "tiny"), identities=33)
    folder = read_run(run)
    table = fairness(folder.results, folder.per_id, folder.record.names)
    rows = printed(table)
    assert len(rows) == 2 * 2 * 5
    assert rows == recomputed(run)
    assert list(next(iter(rows.values()))) == [
        *("Clean", "FNA 8/255-16", "SMA 8/255-16", "IFGSM 8/255-16")
    ]
    assert not any(cell.bold for row in table.rows for cell in row)


def test_fairness_marks_what_is_missing_or_undefined(tmp_path: Path) -> None:
    # Places 0 and 7 are both seeds of Origin's clean cell, 1 is one seed under FNA.
    run = make_run(
        tmp_path, defenses=("origin",), datasets=("sidewalk-a",), seeds=(0, 1), drop=(0, 7, 1)
    )
    with (run / "results.csv").open(newline="") as stream:
        lost = {row["cell"] for row in csv.DictReader(stream) if row["attack"] == "sma"}
    with (run / "per_id.csv").open(newline="") as stream:
        header, *rows = list(csv.reader(stream))
    rows = [[cell, pid, n, "0.0" if cell in lost else ap] for cell, pid, n, ap in rows]
    write_csv(run / "per_id.csv", header, rows)
    folder = read_run(run)
    table = fairness(folder.results, folder.per_id, folder.record.names)
    ((_, shown),) = printed(table).items()
    assert shown["Clean"] == ["–"] * 4
    assert all(text.endswith(" (n=1)") for text in shown["FNA 8/255-16"])
    assert shown["SMA 8/255-16"] == ["0.00±0.00", "0.00±0.00", "0.00±0.00", "–"]


def test_a_cell_without_identities_is_missing(tmp_path: Path) -> None:
    run = make_run(tmp_path, defenses=("origin",), datasets=("sidewalk-a",))
    write_csv(run / "per_id.csv", ["cell", "pid", "queries", "ap"], [])
    folder = read_run(run)
    table = fairness(folder.results, folder.per_id, folder.record.names)
    assert {cell.text for cell in table.rows[0][3:]} == {"–"}


def test_caption_says_how_identities_are_counted(tmp_path: Path) -> None:
    folder = read_run(make_run(tmp_path, ap="step", seeds=(4, 9), identities=21))
    caption = fairness(folder.results, folder.per_id, folder.record.names).caption
    for part in (
        "step form (torchreid, fast-reid)",
        "An identity counts once",
        "n = 2 seeds (4, 9)",
        "Sidewalk-A: 21 identities; Sidewalk-B: 21 identities.",
        "is not fairness",
    ):
        assert part in caption


def test_fairness_on_other_datasets_has_its_own_table(tmp_path: Path) -> None:
    folder = read_run(make_run(tmp_path, transfers=(("sidewalk-a", "sidewalk-b"),)))
    table = fairness(folder.results, folder.per_id, folder.record.names, pairs="transfer")
    assert {row[1].text for row in table.rows} == {"Sidewalk-A → Sidewalk-B"}
