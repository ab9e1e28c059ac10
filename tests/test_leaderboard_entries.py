"""Entries: what submit writes of a real run, against other ways to compute it; verify and rerun."""

import itertools
import json
import math
import random
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from benchbox.data.official import OFFICIAL_COUNTS
from benchbox.data.sidewalk import recorded_digest
from benchbox.errors import BenchboxError
from benchbox.leaderboard.aggregation import interval_of, spread_of, worst_case
from benchbox.leaderboard.bootstrap import interval, resampled_means
from benchbox.leaderboard.check_result import CheckResult
from benchbox.leaderboard.entry_files import entry_text, read_entry, seal, sealed
from benchbox.leaderboard.on_protocol import grid_deviations
from benchbox.leaderboard.protocol import read_protocol
from benchbox.leaderboard.rerun import RerunOptions, rerun
from benchbox.leaderboard.sanity import CHECKS as CHECKS_THERE
from benchbox.leaderboard.submission import groups_to_check, submit
from benchbox.leaderboard.verification import verify
from benchbox.reports.conditions import CLEAN
from benchbox.runs.grid import read_grid
from benchbox.runs.registry import load_registry
from tests.made_boards import (
    CHECKS,
    NAME,
    PASSED,
    SAME,
    TRANSFER,
    changed_board,
    files_below,
    made_run,
    options,
    run_record,
    submitted,
    weights_of,
)

REPOSITORY = Path(__file__).resolve().parents[1]
BOARDS = ("sidewalk-tiny", "sidewalk-small", "market-duke")


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def root() -> Path:
    return submitted()


def entry_of(root: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((root / "boards" / "micro" / NAME).read_text())
    return content


def queries_of(root: Path, cell: str) -> list[dict[str, Any]]:
    key = run_record(root)["cells"][cell]["stages"]["rank"]
    file = root / "out" / "store" / f"rank-{key[:20]}" / "per_query.json"
    rows: list[dict[str, Any]] = json.loads(file.read_text())
    return rows


# --- submit, then verify ---


def test_submit_writes_an_entry_for_each_pair_and_verify_accepts_them(root: Path) -> None:
    names = sorted(path.name for path in (root / "boards" / "micro").glob("*.json"))
    assert names == ["market1501--dukemtmcreid--small--bs_ms--v1.json", NAME]
    found = verify([root / "boards"])
    assert (found.entries, found.problems) == (2, ())


def test_numbers_are_those_of_the_runs_table(root: Path) -> None:
    """Against pandas' grouping of results.csv."""
    table = pd.read_csv(root / "out" / "results.csv")
    table = table[(table["defense"] == "bs_ms") & (table["test_dataset"] == "market1501")]
    by_condition = table.groupby(["attack", "eps_255"])
    results = entry_of(root)["results"]
    assert len(results) == len(by_condition) == 5
    for result in results:
        rows = by_condition.get_group((result["attack"], result["eps_255"]))
        assert [m["cell"] for m in result["seeds"]] == list(rows.sort_values("seed")["cell"])
        for key in ("mAP", "rank1", "rank5", "rank10"):
            assert result[key]["mean"] == pytest.approx(rows[key].mean(), abs=1e-9)
            assert result[key]["std"] == pytest.approx(rows[key].std(), abs=1e-9)


def test_worst_case_is_a_loop_over_queries_and_attacks(root: Path) -> None:
    entry = entry_of(root)
    for worst in entry["worst_case"]:
        cells: dict[int, list[str]] = {}
        for result in entry["results"]:
            if result["eps_255"] == worst["eps_255"]:
                for measured in result["seeds"]:
                    cells.setdefault(measured["seed"], []).append(measured["cell"])
        for of_seed in worst["seeds"]:
            attacks = [queries_of(root, cell) for cell in cells[of_seed["seed"]]]
            assert len(attacks) == 2
            lowest = []
            for same in zip(*attacks, strict=True):
                assert len({query["query"] for query in same}) == 1
                if same[0]["ap"] is not None:
                    lowest.append(min(query["ap"] for query in same))
            assert of_seed["mAP"] == pytest.approx(100 * statistics.fmean(lowest), abs=1e-9)
        assert worst["mAP"]["mean"] == pytest.approx(
            statistics.fmean(s["mAP"] for s in worst["seeds"]), abs=1e-9
        )


def test_identities_are_those_of_per_id(root: Path) -> None:
    table = pd.read_csv(root / "out" / "per_id.csv")
    entry = entry_of(root)
    for spread, result in zip(entry["identities"]["spreads"], entry["results"], strict=True):
        cells = [measured["cell"] for measured in result["seeds"]]
        ap = table[table["cell"].isin(cells)].groupby("pid")["ap"].mean()
        assert entry["identities"]["pids"] == list(ap.index)
        assert spread["mean"] == pytest.approx(100 * ap.mean(), abs=1e-9)
        assert spread["std"] == pytest.approx(100 * ap.std(), abs=1e-9)
        assert spread["worst_decile"] == pytest.approx(100 * ap.nsmallest(2).mean(), abs=1e-9)
        pairs = sum(abs(a - b) for a, b in itertools.product(ap, repeat=2))
        assert spread["gini"] == pytest.approx(pairs / (2 * len(ap) * ap.sum()), abs=1e-9)
        if spread["ap"] is not None:
            assert spread["ap"] == pytest.approx(list(ap), abs=1e-12)
    assert [s["ap"] is not None for s in entry["identities"]["spreads"]] == [True, True] + [
        False
    ] * 3


def test_an_entry_says_where_its_numbers_come_from(root: Path) -> None:
    import hashlib

    entry, record = entry_of(root), run_record(root)
    files = weights_of(root)
    for weights in entry["weights"]:
        content = files[weights["seed"]].read_bytes()
        assert weights["sha256"] == hashlib.sha256(content).hexdigest()
    assert entry["train"]["digest"] == record["datasets"]["market1501"]["digest"]
    provenance = entry["provenance"]
    assert provenance["grid"] == record["grid"]
    assert provenance["defense"] == record["defenses"]["bs_ms"]
    assert provenance["versions"] == record["versions"]
    assert (provenance["commit"], provenance["dirty"]) == tuple(record["git"].values())
    assert provenance["training_seconds"] > 0
    assert provenance["measuring_seconds"] > 0
    assert entry["counts"] == {"queries": 24, "skipped": 0, "gallery": 48, "lone": 0}
    assert entry["defense"]["authors"] == "Zoë Ångström and Łukasz Nguyễn"
    assert entry["status"] == "ok"


def test_a_failed_check_makes_it_suspect_and_one_not_run_unchecked(
    root: Path, tmp_path: Path
) -> None:
    import shutil

    board = tmp_path / "micro"
    board.mkdir()
    shutil.copy(root / "boards" / "micro" / "protocol.toml", board)
    failed = CheckResult(name="gradients", outcome="fail", says="All are zero.")
    written = submit(
        options(root, board=board, allow_unchecked=True),
        checks={SAME: [failed, PASSED[1]], TRANSFER: [PASSED[0]]},
    )
    assert [entry.status for entry in written.entries] == ["suspect", "unchecked"]
    assert verify([board]).problems == ()
    assert [check.outcome for check in written.entries[1].checks] == ["pass", "not run"]


def test_an_entry_on_the_board_is_replaced_only_when_asked(root: Path) -> None:
    before = files_below(root / "boards")
    with pytest.raises(BenchboxError, match="on the board already"):
        submit(options(root), checks=CHECKS)
    assert files_below(root / "boards") == before
    submit(options(root, replace=True), checks=CHECKS)
    assert verify([root / "boards"]).problems == ()


def test_an_entrys_text_is_read_back_as_it_was(root: Path) -> None:
    path = root / "boards" / "micro" / NAME
    entry = read_entry(path)
    assert entry_text(entry) == path.read_text()
    assert len(path.read_text().splitlines()) < 700, "lists of numbers stand on one line"
    # A text that looks like a list of numbers is not touched.
    content = {**entry_of(root)}
    content["defense"] = {**content["defense"], "note": "as in [ 1,  2 ]"}
    again = sealed(content, where="test")
    assert json.loads(entry_text(again))["defense"]["note"] == "as in [ 1,  2 ]"


# --- tampering ---


def leaves(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the place of every number."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*place, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from leaves(inner, (*place, index))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield place


def nudge(content: Any, place: tuple[Any, ...], by: float) -> None:
    for key in place[:-1]:
        content = content[key]
    content[place[-1]] += by if isinstance(content[place[-1]], float) else 1


def test_a_changed_number_anywhere_is_found(tmp_path: Path) -> None:
    places = list(leaves(entry_of(submitted())))
    assert len(places) > 150
    path = changed_board(tmp_path, lambda content: None)
    assert verify([path]).problems == ()
    original = path.read_text()
    for place in places:
        content = json.loads(original)
        nudge(content, place, -1e-9)
        path.write_text(json.dumps(content))
        assert len(verify([path]).problems) >= 1, place


RESEALED: list[tuple[tuple[Any, ...], float, str]] = [
    (("results", 0, "mAP", "mean"), -0.01, "its seeds give"),
    (("results", 1, "mAP", "std"), 0.01, "its seeds give"),
    (("results", 2, "rank1", "mean"), 0.01, "its seeds give"),
    (("results", 1, "seeds", 0, "mAP"), 0.01, "its seeds give"),
    (("results", 1, "seeds", 0, "rank1"), 0.5, "no whole number of 24 queries"),
    (("results", 0, "mAP", "low"), 10.0, "leaves out its mean"),
    (("results", 3, "mAP", "high"), -30.0, "leaves out its mean"),
    (("worst_case", 0, "seeds", 0, "mAP"), 20.0, "above fna alone"),
    (("worst_case", 1, "mAP", "mean"), 0.01, "its seeds give"),
    (("identities", "spreads", 1, "ap", 3), -0.01, "its identities give"),
    (("identities", "spreads", 0, "gini"), 0.01, "its identities give"),
    (("identities", "spreads", 1, "worst_decile"), 0.01, "its identities give"),
    (("identities", "queries", 0), 1, "counts.queries has"),
    (("identities", "pids", 0), 1, "not ascending"),
    (("counts", "queries"), 1, "no whole number of 25 queries"),
    (("results", 1, "eps_255"), 1.0, "every attack at every budget"),
    (("results", 1, "steps"), 1, "every attack at every budget"),
    (("weights", 0, "seed"), 1, "the protocol has [0, 1]"),
    (("version",), 1, "belongs into"),
    (("results", 1, "seeds", 0, "seed"), 1, "the protocol has [0, 1]"),
]


@pytest.mark.parametrize(("place", "by", "says"), RESEALED)
def test_a_changed_number_is_found_though_its_digest_was_made_right(
    tmp_path: Path, place: tuple[Any, ...], by: float, says: str
) -> None:
    path = changed_board(tmp_path, lambda content: nudge(content, place, by))
    problems = [str(problem) for problem in verify([path]).problems]
    assert any(says in problem for problem in problems), problems
    assert all(problem.startswith(str(path)) for problem in problems)


def scale(content: dict[str, Any], attack: str, eps: float, target: float) -> None:
    """Make all of a result's mAP some other number, in agreement with itself."""
    result = next(r for r in content["results"] if (r["attack"], r["eps_255"]) == (attack, eps))
    for measured in result["seeds"]:
        measured["mAP"] = target
    result["mAP"] = {"mean": target, "std": 0.0, "low": target - 0.1, "high": target + 0.1}


def test_more_budget_that_helps_the_defender_is_found_unless_it_is_suspect(tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        scale(content, "sma", 8.0, 95.0)
        scale(content, "sma", 10.0, 99.0)

    path = changed_board(tmp_path, change)
    said = " ".join(map(str, verify([path]).problems))
    assert "sma at 10/255 leaves 4.00 mAP more than 8/255, beyond noise" in said

    content = json.loads(path.read_text())
    content["status"] = "suspect"
    content["checks"][0]["outcome"] = "fail"
    content["digest"] = seal(content)
    path.write_text(json.dumps(content))
    assert verify([path]).problems == ()


# --- the bootstrap ---


def test_bootstrap_is_the_plain_one() -> None:
    """Every resample drawn and averaged in plain Python, from the same numbers of the generator."""
    values = np.random.default_rng(3).beta(0.5, 2, 37)
    draw = np.random.default_rng(0)
    means = []
    for _ in range(300):
        picked = [values[draw.integers(0, 37)] for _ in range(37)]
        means.append(sum(picked) / 37)
    ours = resampled_means(values, resamples=300)
    # One call of the generator for all rows gives the numbers of single calls, in order.
    assert np.allclose(ours, means, atol=1e-12)
    means.sort()
    place = 0.975 * 299
    low, high = means[int(place)], means[int(place) + 1]
    expected = low + (place - int(place)) * (high - low)
    assert interval(values, resamples=300)[1] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("size", [20, 400])
def test_bootstrap_agrees_with_scipy(size: int) -> None:
    values = np.random.default_rng(size).beta(0.7, 1.5, size)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", random_state=1
    ).confidence_interval
    ours = interval(values, resamples=20_000)
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.02 * values.std())


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    draw = random.Random(5)
    inside = 0
    for _ in range(200):
        values = [draw.random() for _ in range(60)]
        low, high = interval(values, resamples=400)
        inside += low <= 0.5 <= high
    # 95% of 200, five standard deviations each way.
    assert 174 <= inside <= 200


def test_seeds_are_averaged_before_queries_are_resampled() -> None:
    ap = np.random.default_rng(1).random((3, 50))
    found = interval_of(ap)
    single = interval_of(ap.mean(0, keepdims=True))
    assert (found.low, found.high) == (single.low, single.high)
    assert single.std is None
    assert found.std == pytest.approx(100 * statistics.stdev(row.mean() for row in ap))
    with pytest.raises(ValueError, match="finite"):
        interval([1.0, math.nan])


def test_worst_case_of_made_queries() -> None:
    fna, sma = np.array([[0.2, 0.9], [0.5, 0.5]]), np.array([[0.8, 0.1], [0.4, 0.6]])
    found = worst_case([fna, sma], [4, 7], eps_255=8.0)
    assert [(s.seed, round(s.mAP, 9)) for s in found.seeds] == [(4, 15.0), (7, 45.0)]
    assert found.mAP.mean == pytest.approx(30.0)


def test_a_lost_retrieval_has_no_gini_and_one_identity_no_deviation() -> None:
    lost = spread_of(CLEAN, [0.0, 0.0], keep=False)
    assert (lost.mean, lost.gini, lost.ap) == (0.0, None, None)
    assert spread_of(CLEAN, [0.5], keep=True).std is None


# --- rerun ---


def rerun_options(root: Path) -> RerunOptions:
    return RerunOptions(weights=weights_of(root), device="cpu", data_root=root / "data")


def test_rerun_finds_the_numbers_again(root: Path) -> None:
    found = rerun(root / "boards" / "micro" / NAME, rerun_options(root))
    assert len(found.numbers) == 10
    assert found.problems == []
    assert max(abs(number.difference) for number in found.numbers) < 1e-3


def test_rerun_finds_a_number_that_the_weights_do_not_give(root: Path, tmp_path: Path) -> None:
    path = changed_board(tmp_path, lambda content: scale(content, "fna", 10.0, 99.0))
    problems = rerun(path, rerun_options(root)).problems
    assert [problem.split(":")[1].strip()[:19] for problem in problems] == [
        "fna 10/255-6 seed 0",
        "fna 10/255-6 seed 1",
    ]


def test_rerun_wants_the_weights_of_the_entry(root: Path) -> None:
    path = root / "boards" / "micro" / NAME
    files = weights_of(root)
    swapped = {0: files[1], 1: files[0]}
    for weights, says in (({0: files[0]}, "no file given for seed 1"), (swapped, "SHA-256 is")):
        with pytest.raises(BenchboxError, match=says):
            rerun(path, RerunOptions(weights=weights, data_root=root / "data"))


def test_rerun_wants_the_guard_that_was_measured(root: Path, tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content["provenance"]["defense"]["guard"]["smooth"]["kernel"] = 5

    path = changed_board(tmp_path, change)
    with pytest.raises(BenchboxError, match=r"provenance\.defense\.guard"):
        rerun(path, rerun_options(root))


# --- the boards of the repository ---


@pytest.mark.parametrize("name", BOARDS)
def test_the_grid_of_a_board_is_on_its_protocol(name: str) -> None:
    protocol = read_protocol(REPOSITORY / "leaderboards" / name)
    assert protocol.grid is not None
    grid = read_grid(REPOSITORY / protocol.grid, load_registry())
    assert grid_deviations(grid, protocol) == []
    assert [c.budget for c in protocol.conditions[1:3]] == ["8/255-16", "10/255-16"]
    assert len(protocol.conditions) == 1 + 3 * 2


@pytest.mark.parametrize("name", BOARDS)
def test_the_datasets_of_a_board_are_the_recorded_ones(name: str) -> None:
    for dataset in read_protocol(REPOSITORY / "leaderboards" / name).datasets:
        if dataset.size is not None:
            assert dataset.digest == recorded_digest(dataset.name, size=dataset.size)
        else:
            assert dataset.counts == OFFICIAL_COUNTS[dataset.name]
        assert dataset.queries
        assert dataset.gallery


@pytest.mark.parametrize("name", BOARDS)
def test_the_required_checks_of_a_board_exist(name: str) -> None:
    protocol = read_protocol(REPOSITORY / "leaderboards" / name)
    assert sorted(protocol.required_checks) == sorted(CHECKS_THERE)


def test_an_earlier_version_keeps_its_protocol(tmp_path: Path) -> None:
    board = tmp_path / "micro"
    board.mkdir()
    text = (made_run() / "boards" / "micro" / "protocol.toml").read_text()
    (board / "protocol-v1.toml").write_text(text)
    (board / "protocol.toml").write_text(text.replace("version = 1", "version = 2"))
    assert read_protocol(board).version == 2
    assert read_protocol(board, version=1).version == 1
    with pytest.raises(BenchboxError, match="no protocol of version 3"):
        read_protocol(board, version=3)


def test_checks_are_asked_for_only_where_the_run_is_complete(tmp_path: Path) -> None:
    assert groups_to_check(options(made_run())) == (SAME, TRANSFER)
    board = tmp_path / "micro"
    board.mkdir()
    text = (made_run() / "boards" / "micro" / "protocol.toml").read_text()
    (board / "protocol.toml").write_text(text.replace("steps = 6", "steps = 7"))
    with pytest.raises(BenchboxError, match="steps: the run has 6, the protocol 7"):
        groups_to_check(options(made_run(), board=board))
