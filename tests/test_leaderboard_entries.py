"""Entries: what submit writes of a real run, against other ways to compute it; verify and rerun."""

import csv
import errno
import itertools
import json
import statistics
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import benchbox
from benchbox.data.official import OFFICIAL_COUNTS
from benchbox.data.sidewalk import recorded_digest
from benchbox.errors import BenchboxError
from benchbox.leaderboard.board_protocol import read_protocol
from benchbox.leaderboard.entry import files as entry_files
from benchbox.leaderboard.entry.aggregate import interval_of, spread_of, worst_case
from benchbox.leaderboard.entry.files import entry_text, read_entry, seal, sealed
from benchbox.leaderboard.on_protocol import grid_deviations
from benchbox.leaderboard.sanity import CHECKS as CHECKS_THERE
from benchbox.leaderboard.sanity.result import CheckResult
from benchbox.leaderboard.submitting.prepare import prepare
from benchbox.leaderboard.submitting.submit import submit
from benchbox.leaderboard.verifying.interval_bounds import interval_faults
from benchbox.leaderboard.verifying.rerun import RerunOptions, rerun
from benchbox.leaderboard.verifying.rerun_numbers import rank_tolerance
from benchbox.leaderboard.verifying.verify import verify
from benchbox.results.artefacts import Artefacts
from benchbox.results.conditions import CLEAN, Condition
from benchbox.results.run_folder import read_run
from benchbox.runs.grid_file import read_grid
from benchbox.runs.registry import load_registry
from benchbox.statistics.bootstrap import interval_of_identities
from defenses import BEYOND_THE_PAPER, DEFENSES
from tests.made_boards import (
    CHECKS,
    NAME,
    PASSED,
    SAME,
    TRANSFER,
    changed_board,
    checked,
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
    assert (len(found.entries), found.problems) == (2, ())


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
        prepare(options(root, board=board, allow_unchecked=True)),
        checks={SAME: [failed, PASSED[1]], TRANSFER: [PASSED[0]]},
    )
    assert [entry.status for entry in written.entries] == ["suspect", "unchecked"]
    assert verify([board]).problems == ()
    assert [check.outcome for check in written.entries[1].checks] == ["pass", "not run"]


def test_an_entry_on_the_board_is_replaced_only_when_asked(root: Path) -> None:
    before = files_below(root / "boards")
    with pytest.raises(BenchboxError, match="on the board already"):
        submit(prepare(options(root)), checks=CHECKS)
    with pytest.raises(BenchboxError, match="on the board already"):
        # Before the minutes that the checks take, too.
        prepare(options(root))
    assert files_below(root / "boards") == before
    submit(prepare(options(root, replace=True)), checks=CHECKS)
    assert verify([root / "boards"]).problems == ()


def test_a_submission_that_cannot_be_written_whole_leaves_the_board(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, wrote = files_below(root / "boards"), []

    def full(path: Path, text: str) -> None:
        if wrote:
            raise OSError(errno.ENOSPC, "No space left on device")
        wrote.append(path)
        path.write_text(text)

    monkeypatch.setattr(entry_files, "write_text", full)
    changed = options(root, replace=True, note="Another note.")
    with pytest.raises(BenchboxError, match="No space left"):
        submit(prepare(changed), checks=CHECKS)
    assert files_below(root / "boards") == before


def test_an_entry_says_when_and_on_what_its_stages_were_made(root: Path) -> None:
    """Against the manifests of all stages of the run."""
    manifests = [json.loads(f.read_text()) for f in (root / "out" / "store").glob("*/stage.json")]
    made = entry_of(root)["provenance"]["made"]
    times = [datetime.fromisoformat(manifest["finished"]) for manifest in manifests]
    first, last = (datetime.fromisoformat(made[key]) for key in ("first", "last"))
    assert min(times) <= first <= last <= max(times)
    assert made["devices"] == ["cpu"]
    assert made["torch"] == [torch.__version__]
    started = datetime.fromisoformat(run_record(root)["started"])
    assert (first - started).total_seconds() > -1


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
    (("results", 0, "mAP", "low"), -3.0, "its identities give"),
    (("results", 1, "mAP", "high"), 3.0, "its identities give"),
    (("results", 3, "mAP", "high"), -30.0, "leaves out its mean"),
    (("worst_case", 0, "seeds", 0, "mAP"), 20.0, "above fna alone"),
    (("worst_case", 1, "mAP", "mean"), 0.01, "its seeds give"),
    (("identities", "spreads", 1, "ap", 3), -0.01, "its identities give"),
    (("identities", "spreads", 0, "gini"), 0.01, "its identities give"),
    (("identities", "spreads", 1, "worst_decile"), 0.01, "its identities give"),
    (("identities", "queries", 0), 1, "counts.queries has"),
    (("identities", "pids", 0), 1, "not ascending"),
    (("results", 1, "mAP", "seeds_low"), 0.01, "the interval over seeds"),
    (("worst_case", 0, "mAP", "seeds_high"), -0.01, "the interval over seeds"),
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
    result["mAP"] = {
        "mean": target,
        "std": 0.0,
        "low": target - 0.1,
        "high": target + 0.1,
        "seeds_low": target,
        "seeds_high": target,
    }


def test_a_gain_is_found_behind_a_wide_interval(tmp_path: Path) -> None:
    """Its own width must not make any gain noise."""

    def change(content: dict[str, Any]) -> None:
        scale(content, "sma", 8.0, 60.0)
        scale(content, "sma", 10.0, 99.5)
        for result in content["results"]:
            if result["attack"] == "sma":
                result["mAP"] |= {"low": 0.0, "high": 100.0}

    path = changed_board(tmp_path, change)
    said = " ".join(map(str, verify([path]).problems))
    assert "the interval 0.0000 to 100.0000 is wider than 12 identities allow" in said
    assert "sma at 10/255 leaves 39.50 mAP more than 8/255, beyond noise" in said


@pytest.mark.parametrize("level", [0.02, 0.5, 0.97])
def test_no_interval_of_queries_is_too_wide(level: float) -> None:
    """Of many made data sets, some with queries of 0 and 1 alone and one large identity."""
    rng = np.random.default_rng(int(100 * level))
    for number in range(60):
        queries = rng.integers(1, 30 if number % 2 else 3, size=rng.integers(2, 60))
        means = rng.beta(0.05, 0.05 * (1 - level) / level, size=len(queries))
        if number % 3 == 0:
            means = means.round()
        pids = np.repeat(np.arange(len(queries)), queries)
        found = interval_of(np.repeat(means, queries)[None], pids)
        assert list(interval_faults("x", found, queries.tolist())) == []
        again = interval_of_identities(100 * means, queries)
        assert again == pytest.approx((found.low, found.high), abs=1e-9)


def test_more_budget_that_helps_the_defender_is_found_unless_it_is_suspect(tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        scale(content, "sma", 8.0, 93.0)
        scale(content, "sma", 10.0, 97.0)

    path = changed_board(tmp_path, change)
    said = " ".join(map(str, verify([path]).problems))
    assert "sma at 10/255 leaves 4.00 mAP more than 8/255, beyond noise" in said

    content = json.loads(path.read_text())
    content["status"] = "suspect"
    content["checks"][0]["outcome"] = "fail"
    content["digest"] = seal(content)
    path.write_text(json.dumps(content))
    assert verify([path]).problems == ()


def test_ranks_that_do_not_allow_the_map_are_found(tmp_path: Path) -> None:
    def change(rank: float) -> Any:
        def of(content: dict[str, Any]) -> None:
            for result in content["results"]:
                for key in ("rank1", "rank5", "rank10"):
                    result[key] = {"mean": rank, "std": 0.0}
                    for measured in result["seeds"]:
                        measured[key] = rank
            scale(content, "none", 0.0, 68.2 if rank == 0 else 0.3)

        return of

    for rank in (0.0, 100.0):
        path = changed_board(tmp_path / str(rank), change(rank))
        said = [str(problem) for problem in verify([path]).problems]
        assert any("results[0] of seed 1: mAP: " in text for text in said), said


def test_more_matches_than_the_gallery_has_are_found(tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content["identities"]["matches"][0] = 40

    problems = verify([changed_board(tmp_path, change)]).problems
    assert any("in a gallery of 48" in problem.says for problem in problems)


def test_matches_are_counted_in_the_dataset(root: Path) -> None:
    """Against the labels in the file names, image by image."""
    folder = root / "data" / "Market-1501-v15.09.15"
    most: dict[int, int] = {}
    gallery = [path.name.split("_") for path in (folder / "bounding_box_test").iterdir()]
    for path in (folder / "query").iterdir():
        pid, camera, *_ = path.name.split("_")
        found = sum(p == pid and c[:2] != camera[:2] for p, c, *_ in gallery)
        most[int(pid)] = max(found, most.get(int(pid), 0))
    identities = entry_of(root)["identities"]
    assert dict(zip(identities["pids"], identities["matches"], strict=True)) == most


# --- numbers of made queries ---


def test_worst_case_of_made_queries() -> None:
    fna, sma = np.array([[0.2, 0.9], [0.5, 0.5]]), np.array([[0.8, 0.1], [0.4, 0.6]])
    found = worst_case([fna, sma], np.array([1, 2]), [4, 7], eps_255=8.0)
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
    found = rerun(checked() / NAME, rerun_options(root))
    # Four counts and three of each of 12 identities; mAP and three ranks of 2 seeds under 5
    # conditions, their intervals' ends and 4 numbers of their identities; the worst case of 2
    # seeds at 2 budgets with its ends; the mAP behind the checks, two each but for the huge budget.
    measured = (4 + 3 * 12) + 5 * (2 * 4 + 2 + 4) + 2 * (2 + 2)
    assert len(found.numbers) == measured + 2 * 5 + 1
    assert set(found.checks) == CHECKS_THERE.keys() - {"transfer"}
    assert len({number.what for number in found.numbers}) == len(found.numbers)
    assert found.problems == []
    assert max(abs(number.difference) for number in found.numbers) < 1e-3


def test_rerun_finds_a_number_that_the_weights_do_not_give(root: Path, tmp_path: Path) -> None:
    path = changed_board(
        tmp_path, lambda content: scale(content, "fna", 10.0, 99.0), board=checked()
    )
    problems = rerun(path, rerun_options(root)).problems
    assert [problem.removeprefix(f"{path}: ").split(": entered")[0] for problem in problems] == [
        "fna 10/255-6 seed 0: mAP",
        "fna 10/255-6 seed 1: mAP",
        "fna 10/255-6: mAP.low",
        "fna 10/255-6: mAP.high",
    ]


FORGED: list[tuple[tuple[Any, ...], float, str]] = [
    (("counts", "gallery"), 1, "counts.gallery: entered 49, recomputed 48"),
    (("counts", "lone"), 1, "counts.lone: entered 1, recomputed 0"),
    (("counts", "skipped"), 1, "counts.skipped: entered 1, recomputed 0"),
    (("identities", "pids", 11), 1, "identities.pids[11]: "),
    (("identities", "matches", 3), 1, "identities.matches[3]: "),
    (("identities", "queries", 3), 1, "identities.queries[3]: "),
    (("results", 2, "mAP", "low"), -0.6, "fna 10/255-6: mAP.low: "),
    (("results", 2, "mAP", "high"), 0.6, "fna 10/255-6: mAP.high: "),
    (("results", 0, "seeds", 1, "rank5"), -100 / 12, "clean seed 1: rank5: "),
    (("results", 3, "seeds", 0, "rank10"), -100 / 12, "sma 8/255-6 seed 0: rank10: "),
    (("worst_case", 0, "seeds", 1, "mAP"), -0.6, "worst of all attacks 8/255 seed 1: mAP: "),
    (("worst_case", 1, "mAP", "low"), -0.6, "worst of all attacks 10/255: mAP.low: "),
    (("identities", "spreads", 3, "worst_decile"), 2.0, "identities: worst_decile: "),
    (("identities", "spreads", 2, "gini"), 0.1, "identities: gini x mean: "),
    (("identities", "spreads", 4, "std"), 0.6, "identities: std: "),
]


def test_rerun_compares_every_number(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One recomputation, compared with an entry in which one number after another was changed."""
    from benchbox.leaderboard.verifying import rerun as module
    from benchbox.leaderboard.verifying.rerun_numbers import compared

    kept: list[Any] = []

    def keeping(*given: Any) -> Any:
        kept.append(given)
        return compared(*given)

    monkeypatch.setattr(module, "compared", keeping)
    assert module.rerun(checked() / NAME, rerun_options(root)).problems == []
    entry, *others = kept[0]
    for place, by, what in FORGED:
        content = entry.model_dump(mode="json", by_alias=True)
        nudge(content, place, by)
        forged = type(entry).model_validate_json(json.dumps(content))
        numbers = compared(forged, *others)
        problems = module.Rerun(root, 0.5, tuple(numbers)).problems
        assert len(problems) == 1, (place, problems)
        assert what in problems[0]


def test_rerun_repeats_the_checks(root: Path, tmp_path: Path) -> None:
    """Against checks that were invented: outcomes, numbers, and numbers left out."""

    def forge(content: dict[str, Any]) -> None:
        checks = {check["name"]: check for check in content["checks"]}
        checks["gradients"] |= {"outcome": "fail", "says": "All are zero."}
        content["status"] = "suspect"
        checks["random_noise"]["numbers"]["map_noise"] += 2.0
        del checks["bpda"]["numbers"]["map_bpda"]

    path = changed_board(tmp_path, forge, board=checked())
    assert verify([path]).problems == ()
    noise, bpda, gradients = rerun(path, rerun_options(root)).problems
    assert "check random_noise: map_noise: entered" in noise
    assert "check bpda: map_bpda: entered nan, recomputed" in bpda
    assert f"{path}: check gradients: entered 'fail' (All are zero.) recomputed 'pass' (0 of " in (
        gradients
    )


def test_rerun_leaves_out_checks_that_were_not_made(root: Path, tmp_path: Path) -> None:
    def unmake(content: dict[str, Any]) -> None:
        for check in content["checks"]:
            check |= {"outcome": "not run", "numbers": {}}
        content["status"] = "unchecked"

    found = rerun(changed_board(tmp_path, unmake, board=checked()), rerun_options(root))
    assert (found.checks, found.problems) == ((), [])


def test_ranks_may_move_three_times_as_far_and_at_least_one_query(root: Path) -> None:
    protocol = read_protocol(root / "boards" / "micro")
    assert rank_tolerance(protocol, 1_000) == 1.5
    assert rank_tolerance(protocol, 24) == pytest.approx(100 / 24, abs=1e-5)


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
    assert len(protocol.conditions) == 1 + 3 * 2 + 1
    assert protocol.conditions[-1] == Condition("worst_case", 8.0)
    assert protocol.attack_tables == {"worst_case": {"tier": "full", "budgets": ["8/255"]}}


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


def test_what_is_on_the_boards_passes() -> None:
    found = verify([REPOSITORY / "leaderboards"])
    assert found.problems == ()
    assert len(found.entries) >= 46


def test_every_defense_of_the_paper_is_on_the_board_of_sidewalk() -> None:
    board = REPOSITORY / "leaderboards" / "sidewalk-small"
    there = {tuple(path.name.split("--")[:4:3]) for path in board.glob("*.json")}
    paper = set(DEFENSES) - {defense.name for defense in BEYOND_THE_PAPER}
    for which in "ab":
        names = {name for train, name in there if train == f"sidewalk-{which}"}
        assert paper <= names <= set(DEFENSES)


def test_a_board_has_the_numbers_of_the_runs_before_it() -> None:
    """The whitebox run of version 1 was measured by earlier code, and agrees to the digit."""
    measured = REPOSITORY / "leaderboards" / "measured" / "whitebox-sidewalk-v1" / "results.csv"
    rows = csv.DictReader(measured.read_text().splitlines())
    cells = {
        (r["train_dataset"], r["defense"], r["attack"], float(r["eps_255"]), int(r["seed"])): r
        for r in rows
    }
    compared = set()
    for path in (REPOSITORY / "leaderboards" / "sidewalk-small").glob("*--v1.json"):
        entry = json.loads(path.read_text())
        for result in entry["results"]:
            for seed in result["seeds"]:
                place = (entry["train"]["name"], entry["defense"]["name"], result["attack"])
                row = cells.get((*place, result["eps_255"], seed["seed"]))
                if row is not None:
                    assert seed["mAP"] == pytest.approx(float(row["mAP"]), abs=1e-9)
                    assert seed["rank1"] == pytest.approx(float(row["rank1"]), abs=1e-9)
                    compared.add((*place, result["eps_255"], seed["seed"]))
    assert compared == set(cells)


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
    assert prepare(options(made_run(), replace=True)).groups == (SAME, TRANSFER)
    board = tmp_path / "micro"
    board.mkdir()
    text = (made_run() / "boards" / "micro" / "protocol.toml").read_text()
    (board / "protocol.toml").write_text(text.replace("steps = 6", "steps = 7"))
    with pytest.raises(BenchboxError, match="steps: the run has 6, the protocol 7"):
        prepare(options(made_run(), board=board))


def test_a_ready_model_comes_back_from_an_entry(root: Path) -> None:
    """Oracle: the clean embeddings that the run stored."""
    run = read_run(root / "out")
    store = Artefacts(run)
    rows = run.results
    mine = (rows["defense"] == "bs_ms") & (rows["attack"] == "none") & (rows["seed"] == 0)
    cell = rows[mine & (rows["test_dataset"] == "market1501")].iloc[0]["cell"]
    entry = root / "boards" / "micro" / NAME
    model = benchbox.load_model(entry, weights=weights_of(root)[0])
    images = store.images(cell, list(store.dataset("market1501").query))
    with torch.no_grad():
        embeddings = model(images)
    torch.testing.assert_close(embeddings, store.features(cell)["query"], atol=1e-5, rtol=1e-4)
    assert not model.training
    with pytest.raises(BenchboxError, match="no such weights file"):
        benchbox.load_model(entry, weights=root / "nowhere.safetensors")
