"""What a report says first: sentences from a table made by hand, whatever a run lacks."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchbox.reports.findings import Finding, findings
from benchbox.reports.report import write_report
from benchbox.reports.standings import by_cell, hardest, lead, standings
from benchbox.results.conditions import CLEAN, Condition
from benchbox.results.measurements import Group, measurements
from benchbox.results.run_folder import RunFolder, read_run
from benchbox.statistics.bootstrap import interval
from tests.made_runs import make_run

GROUP = Group("resnet50", "sidewalk-a", "sidewalk-a")
FNA, SMA = Condition("fna", 8.0, 16, 1.0), Condition("sma", 8.0, 16, 1.0)

TABLE: dict[str, tuple[float | None, ...]] = {  # clean, FNA 8/255, SMA 8/255
    "origin": (70.6, 0.8, 1.0),
    "amd": (72.0, 1.0, 1.9),
    "adv_train": (51.8, 12.2, 26.5),
    "das": (59.6, 9.0, 27.0),
}


def run_of(
    folder: Path,
    table: dict[str, tuple[float | None, ...]],
    *,
    seeds: tuple[int, ...] = (0,),
    attacks: tuple[str, ...] = ("fna", "sma"),
    **made: Any,
) -> RunFolder:
    """Return a run with these numbers; in seed 1 every one is half a point higher."""
    path = make_run(
        folder, defenses=list(table), attacks=attacks, budgets=(8.0,), seeds=seeds,
        datasets=("sidewalk-a",), **made,
    )  # fmt: skip
    run = read_run(path)
    columns = ("none", *attacks)
    values = [
        table[row["defense"]][columns.index(row["attack"])] for _, row in run.results.iterrows()
    ]
    results = run.results.assign(
        mAP=[np.nan if value is None else value for value in values] + 0.5 * run.results["seed"]
    )
    results = results.dropna(subset=["mAP"])
    per_id = run.per_id[run.per_id["cell"].isin(results["cell"])]
    return replace(run, results=results, per_id=per_id)


def says(run: RunFolder, **options: Any) -> str:
    return " ".join(finding.says for finding in findings(run, **options))


# ---- the sentences


def test_the_first_sentence_is_what_is_kept_beside_the_best_on_clean_queries(tmp_path) -> None:
    first = findings(run_of(tmp_path, TABLE))[0]
    assert first.about == "ResNet50 · Sidewalk-A"
    assert first.says.startswith(
        "Adv_train keeps 12.2 of 51.8 mAP under FNA 8/255-16; AMD, the best on clean queries, "
        "1.0 of 72.0. Its lead over DAS (9.0 of 59.6) is 3.20 points"
    )
    assert "In the other column under attack another is first: DAS under SMA 8" in first.says
    assert first.says.endswith("2 of 4 (AMD, Origin) keep less than a tenth of their clean mAP.")


def test_the_attack_is_the_one_that_leaves_least_whatever_its_name(tmp_path: Path) -> None:
    titles = {"attacks": {"worst_case": "Worst case"}}
    table = {"origin": (70.0, 2.0, 1.0), "ddd": (60.0, 14.0, 9.0)}
    run = run_of(tmp_path, table, attacks=("fna", "worst_case"), titles=titles)
    assert "ddd keeps 9.0 of 60.0 mAP under Worst case 8/255-16" in says(run)


def test_a_lead_is_held_against_identities_and_seeds(tmp_path: Path) -> None:
    run = run_of(tmp_path, TABLE, seeds=(0, 1))
    cells = measurements(run.results, run.record.names)
    pair = ("adv_train", "das")
    found = lead(cells, by_cell(run.per_id), GROUP, FNA, pair=pair)
    assert found is not None
    assert found.points == pytest.approx(3.2)
    assert (found.ahead, found.seeds) == (2, 2)
    assert found.interval == pytest.approx(interval_of_queries(run, pair))
    assert "it is ahead in 2 of 2 seeds" in says(run)


def interval_of_queries(run: RunFolder, pair: tuple[str, str]) -> tuple[float, float]:
    """Bootstrap the differences query by query, where every identity's mean stands for its own."""
    rows = run.results[run.results["attack"] == "fna"]
    points: dict[int, float] = {}
    queries: dict[int, int] = {}
    for defense, sign in zip(pair, (1, -1), strict=True):
        cells = list(rows.loc[rows["defense"] == defense, "cell"])
        for _, row in run.per_id[run.per_id["cell"].isin(cells)].iterrows():
            points[row["pid"]] = points.get(row["pid"], 0) + sign * 100 * row["ap"] / len(cells)
            queries[row["pid"]] = row["queries"]
    pids = [pid for pid in points for _ in range(queries[pid])]
    return interval([points[pid] for pid in pids], pids)


@pytest.mark.parametrize(
    ("shift", "verdict"),
    [(0.05, "so that it does not hang on who was tested"), (0.0, "with other people the order")],
)
def test_the_verdict_follows_the_interval(tmp_path: Path, shift: float, verdict: str) -> None:
    run = run_of(tmp_path, {"origin": (50.0, 9.0, 20.0), "ddd": (50.0, 10.0, 20.0)})
    cells = run.results.set_index(["defense", "attack"])["cell"]
    base = run.per_id[run.per_id["cell"] == cells["origin", "fna"]]
    better = base.assign(cell=cells["ddd", "fna"], ap=base["ap"].clip(upper=0.9) + shift)
    base = base.assign(ap=base["ap"].clip(upper=0.9))
    assert verdict in says(replace(run, per_id=pd.concat([base, better])))


# ---- what a run may lack


def test_a_single_row_is_told_without_a_comparison(tmp_path: Path) -> None:
    found = findings(run_of(tmp_path, {"ddd": (60.0, 9.0, 20.0)}))
    assert [one.says for one in found] == [
        "Ours keeps 9.0 of 60.0 mAP under FNA 8/255-16.",
        "Nothing: no larger budget leaves more mAP than a smaller one.",
    ]


def test_a_run_without_clean_results_has_no_share(tmp_path: Path) -> None:
    run = run_of(tmp_path, {name: (None, *row[1:]) for name, row in TABLE.items()})
    first = findings(run)[0].says
    assert first.startswith("Adv_train keeps 12.2 mAP under FNA 8/255-16. Its lead over DAS (9.0)")
    assert "tenth" not in first


def test_a_run_without_an_attack_compares_clean_queries(tmp_path: Path) -> None:
    run = run_of(tmp_path, {"origin": (70.6,), "amd": (72.0,)}, attacks=())
    (found,) = findings(run)
    assert found.says.startswith(
        "AMD has 72.0 mAP on clean queries; nothing was attacked. Its lead"
    )
    assert "Its lead over Origin (70.6) is 1.40 points" in found.says


def test_missing_cells_leave_their_row_out_and_no_other(tmp_path: Path) -> None:
    table = {**TABLE, "adv_train": (51.8, None, 26.5)}
    assert says(run_of(tmp_path, table)).startswith("DAS keeps 9.0 of 59.6 mAP under FNA 8/255")
    without_per_id = replace(run_of(tmp_path, TABLE), per_id=run_of(tmp_path, TABLE).per_id[:0])
    assert "is 3.20 points; with one seed" in says(without_per_id)


def test_seeds_that_do_not_meet_are_not_compared(tmp_path: Path) -> None:
    run = run_of(tmp_path, TABLE, seeds=(0, 1))
    results = run.results
    other = results["defense"].isin(["adv_train"]) == (results["seed"] == 1)
    assert "DAS is next, with no seed in common" in says(replace(run, results=results[other]))


def test_a_collapsed_model_leads_nothing(tmp_path: Path) -> None:
    """Chance loses nothing to an attack: it would keep nearly all of its next to nothing."""
    run = run_of(tmp_path, {"origin": (70.6, 0.8, 1.0), "amd": (4.7, 3.0, 3.5)})
    assert says(run).startswith("AMD keeps 3.0 of 4.7")
    first = says(run, collapsed={(GROUP, "amd")})
    assert first.startswith("Origin keeps 0.8 of 70.6 mAP")
    assert "AMD is near chance on clean queries, and so not compared." in first
    assert "AMD keeps" not in first
    assert "lead" not in first


def test_every_row_collapsed_leaves_that_alone(tmp_path: Path) -> None:
    run = run_of(tmp_path, {"amd": (4.7, 3.0, 3.5)})
    assert findings(run, collapsed={(GROUP, "amd")})[0] == Finding(
        "ResNet50 · Sidewalk-A", "AMD is near chance on clean queries, and so not compared."
    )


def test_a_larger_budget_that_leaves_more_is_said(tmp_path: Path) -> None:
    run = run_of(tmp_path, {"ddd": (60.0, 70.0, 20.0)})
    (found,) = [one for one in findings(run) if one.about == "Suspicious"]
    assert found.says.startswith("In 1 place an attack that should hurt more hurts less")


def test_transfers_are_blocks_of_their_own(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path, datasets=(), transfers=[("sidewalk-a", "sidewalk-b")]))
    assert findings(run)[0].about == "ResNet50 · Sidewalk-A → Sidewalk-B"


# ---- the parts


def test_the_hardest_attack_is_found_among_rows_that_have_them_all(tmp_path: Path) -> None:
    # SMA's mean over all rows is the lower one, only because the best row was not measured.
    table = {"origin": (70.0, 0.8, 1.0), "ddd": (60.0, 12.0, None)}
    run = run_of(tmp_path, table)
    assert hardest(measurements(run.results, run.record.names)) == FNA
    clean = run.results[run.results["attack"] == "none"]
    assert hardest(measurements(clean, run.record.names)) is None


def test_standings_are_means_over_seeds_the_best_first(tmp_path: Path) -> None:
    run = run_of(tmp_path, TABLE, seeds=(0, 1))
    cells = measurements(run.results, run.record.names)
    rows = standings(cells, GROUP, FNA)
    assert [row.defense for row in rows] == ["adv_train", "das", "amd", "origin"]
    assert rows[0].mAP == pytest.approx(12.2 + 0.25)
    assert rows[0].share == pytest.approx((12.2 + 0.25) / (51.8 + 0.25))
    assert standings(cells, GROUP, CLEAN)[0].defense == "amd"


# ---- the page


def test_the_report_begins_with_its_findings_and_its_tables_fit(
    tmp_path: Path, open_page: Any
) -> None:
    run = make_run(
        tmp_path, seeds=(0, 1), attacks=("fna", "sma", "ifgsm", "worst_case"), budgets=(8.0,)
    )
    path = write_report(run, depth="results").path
    text = re.sub(r"<[^>]+>", " ", path.read_text().partition("<main>")[2])
    assert text.split()[:3] == ["ResNet50", "·", "Sidewalk-A"]
    page = open_page(path, viewport={"width": 1280, "height": 900})
    first = page.locator("#findings").bounding_box()
    assert first["y"] < 300
    wide = page.eval_on_selector_all(
        ".table .scroll", "all => all.map(e => [e.scrollWidth, e.clientWidth])"
    )
    assert len(wide) >= 3
    assert all(inside <= box for inside, box in wide), wide
    order = page.eval_on_selector_all("main > section", "all => all.map(e => e.id)")
    assert [name for name in order if name][:3] == ["findings", "tables", "figures"]


@pytest.mark.parametrize(
    ("left", "verdict"),
    [
        (20.0, "leaves Adv_train 7.8 points more mAP than its own gradient, and no other source"),
        (12.5, "leaves Adv_train about as much mAP as its own gradient."),
        (5.0, "leaves Adv_train 7.2 points less mAP than its own gradient: a sign that this is"),
    ],
)
def test_other_models_queries_are_held_against_a_models_own(
    tmp_path: Path, left: float, verdict: str
) -> None:
    run = run_of(tmp_path, TABLE)
    shown = run.results[(run.results["attack"] == "fna") & (run.results["defense"] == "adv_train")]
    sources = [
        shown.assign(source_backbone="resnet50", source_defense=source, mAP=value, cell=source)
        for source, value in (("origin", left), ("das", left + 10.0))
    ]
    found = findings(replace(run, black_box=pd.concat(sources)))
    (black_box,) = [one.says for one in found if one.about.endswith("black box")]
    assert black_box.startswith(f"FNA 8/255-16 made on Origin {verdict}")
