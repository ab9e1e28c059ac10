"""Entries, run folders, weights and protocols from strangers: refused with one clear line each."""

import hashlib
import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from benchbox.errors import BenchboxError
from benchbox.files.digests import digest_of_file
from benchbox.leaderboard.board_protocol import read_protocol
from benchbox.leaderboard.entry.files import read_entry
from benchbox.leaderboard.sanity.result import CheckResult
from benchbox.leaderboard.submitting.prepare import prepare
from benchbox.leaderboard.submitting.submit import submit
from benchbox.leaderboard.verifying.rerun import RerunOptions, rerun
from benchbox.leaderboard.verifying.verify import verify
from benchbox.results.stored_weights import require_loadable
from benchbox.untrusted.json import Limits, read_json
from benchbox.untrusted.text import require_plain, require_title, require_web_address
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
    submitted,
    weights_of,
)
from tests.made_runs import make_run


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def one_line(path: Path) -> str:
    """Return what reading an entry is refused with: one line, one problem, exit code 2."""
    with pytest.raises(BenchboxError) as refused:
        read_entry(path)
    text = str(refused.value)
    assert "\n" not in text
    assert text.isprintable()
    assert text.startswith(f"{path}: ")
    assert refused.value.exit_code == 2
    assert len(text) < 400 + len(str(path))
    assert len(verify([path]).problems) == 1
    return text.removeprefix(f"{path}: ")


def put(*place: Any) -> Callable[[dict[str, Any]], None]:
    """Return a change that puts the last of the arguments at the place named by the others."""
    *keys, last, value = place

    def change(content: Any) -> None:
        for key in keys:
            content = content[key]
        content[last] = value

    return change


def drop(*place: Any) -> Callable[[dict[str, Any]], None]:
    *keys, last = place

    def change(content: Any) -> None:
        for key in keys:
            content = content[key]
        del content[last]

    return change


HOSTILE: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    # Numbers that are none.
    "true for a number": (put("results", 0, "mAP", "mean", True), "results[0].mAP.mean: "),
    "a number as text": (put("counts", "queries", "24"), "counts.queries: "),
    "a percentage above 100": (put("results", 0, "seeds", 0, "rank1", 100.5), "seeds[0].rank1: "),
    "a negative count": (put("counts", "skipped", -1), "counts.skipped: "),
    "half a query": (put("counts", "queries", 24.5), "counts.queries: "),
    "null for a number": (put("results", 1, "mAP", "mean", None), "results[1].mAP.mean: "),
    "an AP above 1": (put("identities", "spreads", 0, "ap", 0, 1.5), "spreads[0].ap[0]: "),
    "a seed of another world": (put("weights", 0, "seed", 2**60), "weights[0].seed: a number out"),
    # Keys.
    "an unknown key": (put("extra", 1), "extra: Extra inputs"),
    "an unknown inner key": (put("defense", "homepage", "x"), "defense.homepage: Extra inputs"),
    "a missing key": (drop("checks"), "checks: Field required"),
    "another schema": (put("schema", 2), "schema: "),
    # Dates.
    "submitted before there was anything": (put("submitted", "1999-01-01"), "submitted: "),
    "submitted in the far future": (put("submitted", "2999-01-01"), "submitted: "),
    "a date as a number": (put("submitted", 1_700_000_000), "submitted: "),
    "no date": (put("submitted", "2025-13-45"), "submitted: "),
    "finished in 1970": (put("provenance", "finished", "1970-01-01T00:00:00Z"), "finished: "),
    "a time without zone": (put("provenance", "started", "2026-01-01T00:00:00"), "started: "),
    # Names and texts.
    "a path for a name": (put("defense", "name", "../../etc/passwd"), "defense.name: "),
    "a name that parts the file name": (put("defense", "name", "a--b"), "defense.name: "),
    "capitals in a name": (put("test", "name", "Market1501"), "test.name: "),
    "a backbone that climbs": (put("backbone", "../x"), "backbone: "),
    "a board elsewhere": (put("board", "../other"), "board: "),
    "a Cyrillic letter in a title": (put("defense", "title", "Adv_tr\u0430in"), "defense.title: "),
    "a title wholly in Cyrillic": (put("defense", "title", "\u0410\u041c\u0421"), "title: "),
    "full-width letters": (put("defense", "title", "\uff24\uff24\uff24"), "defense.title: "),
    "text that runs backwards": (put("defense", "title", "BS\u202eMS"), "U+202E"),
    "a space of no width": (put("defense", "authors", "A.\u200b Author"), "U+200B"),
    "a line end in a title": (put("defense", "title", "A\nB"), "U+000A"),
    "a filler letter": (put("defense", "authors", "Kim\u3164"), "U+3164"),
    "a phonetic letter": (put("defense", "title", "D\u0251S"), "U+0251"),
    "an endless title": (put("defense", "title", "x" * 5_000), "defense.title: longer than"),
    "a title too long": (put("defense", "title", "x" * 101), "defense.title: "),
    # Web addresses.
    "a script for a paper": (put("defense", "paper", "javascript:alert(1)"), "defense.paper: "),
    "a file for weights": (put("defense", "weights", "file:///etc/passwd"), "defense.weights: "),
    "an address with a password": (put("defense", "code", "https://u:p@example.org/"), "code: "),
    "an address with a line end": (put("defense", "code", "https://example.org/\nx"), "code: "),
    "an address without a host": (put("defense", "paper", "https:///x"), "defense.paper: "),
    "an address with a quote": (put("defense", "paper", 'https://a.org/"onload="'), "paper: "),
    # Digests and sizes.
    "a digest that is none": (put("weights", 0, "sha256", "A" * 64), "weights[0].sha256: "),
    "a cell that is a path": (put("results", 0, "seeds", 0, "cell", "../../x"), "seeds[0].cell: "),
    "an unknown status": (put("status", "best"), "status: "),
    "an unknown outcome": (put("checks", 0, "outcome", "maybe"), "checks[0].outcome: "),
    "a check's number as text": (put("checks", 0, "numbers", {"a": "1"}), "checks[0].numbers.a: "),
    "too many identities": (put("identities", "pids", list(range(10_001))), "identities.pids: "),
    "a very deep record": (
        put("provenance", "grid", json.loads("[" * 30 + "]" * 30)),
        "nested deeper than 16 levels",
    ),
    "too many values": (put("provenance", "grid", "x", [0] * 250_000), "more than 200,000 values"),
    "more than is read": (put("provenance", "grid", "x", ["y" * 3_000] * 700), "larger than"),
    # Its place.
    "another's file name": (put("defense", "name", "ddd"), "belongs into market1501--market1501"),
    "another version": (put("version", 2), "belongs into"),
    "another's folder": (put("board", "sidewalk-small"), "lies in another's folder"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_entry_is_refused_with_one_line(tmp_path: Path, what: str) -> None:
    change, says = HOSTILE[what]
    path = changed_board(tmp_path, change)
    before = files_below(tmp_path)
    assert says in one_line(path)
    assert files_below(tmp_path) == before


RAW: dict[str, tuple[Callable[[str], bytes], str]] = {
    "not a number": (lambda t: t.replace('"gallery": 48', '"gallery": NaN').encode(), "NaN is not"),
    "an infinity": (
        lambda t: t.replace('"lone": 0', '"lone": -Infinity').encode(),
        "counts.lone: ",
    ),
    "a float beyond floats": (lambda t: t.replace('"lone": 0', '"lone": 1e999').encode(), "range"),
    "an endless integer": (
        lambda t: t.replace('"lone": 0', '"lone": ' + "9" * 5_000).encode(),
        "counts.lone: a number out of range",
    ),
    "a key that stands there twice": (
        lambda t: t.replace('"lone": 0', '"lone": 0, "lone": 1').encode(),
        "counts.lone: stands there twice",
    ),
    "half a character": (lambda t: t.replace('"BS+MS"', '"\\ud800"').encode(), "defense.title: "),
    "bytes of another encoding": (lambda t: t.encode("utf-16"), "not UTF-8"),
    "half a file": (lambda t: t[: len(t) // 2].encode(), "not valid JSON"),
    "nothing": (lambda t: b"", "not valid JSON"),
    "a list": (lambda t: b"[]", "top level: "),
    "a hundred thousand brackets": (lambda t: b"[" * 100_000, "nested deeper"),
    "a mark in front": (lambda t: b"\xef\xbb\xbf" + t.encode(), "not valid JSON"),
}


@pytest.mark.parametrize("what", RAW)
def test_a_broken_file_is_refused_with_one_line(tmp_path: Path, what: str) -> None:
    change, says = RAW[what]
    path = changed_board(tmp_path, lambda content: None)
    path.write_bytes(change(path.read_text()))
    assert says in one_line(path)


def test_an_edit_by_hand_is_refused(tmp_path: Path) -> None:
    path = changed_board(tmp_path, put("defense", "note", "Better."), reseal=False)
    assert "digest: does not match" in one_line(path)


def test_a_link_is_refused(tmp_path: Path) -> None:
    path = changed_board(tmp_path, lambda content: None)
    secret = tmp_path / "secret.json"
    path.rename(secret)
    path.symlink_to(secret)
    with pytest.raises(BenchboxError, match="is a link"):
        read_entry(path)
    with pytest.raises(BenchboxError, match="is a link"):
        verify([path])
    assert [problem.says for problem in verify([path.parent]).problems] == [
        "is a link; expected the file itself"
    ]
    shutil.copytree(path.parent, tmp_path / "elsewhere" / "micro", symlinks=True)
    shutil.rmtree(path.parent)
    path.parent.symlink_to(tmp_path / "elsewhere" / "micro")
    with pytest.raises(BenchboxError, match="link that may leave the folder"):
        verify([path.parent.parent])


def test_a_place_without_a_board_is_refused(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "none"):
        with pytest.raises(BenchboxError, match=r"holds no board|no such file"):
            verify([place])


@pytest.mark.parametrize(
    "text",
    [
        "Zoë Ångström",
        "Łukasz Żółć",
        "Nguyễn Thị Minh",
        "İsmail Çağrı",
        "李伟, Wei Li",
        "佐藤 さくら",
        "김민수",
        "Иван Петров",
        "Γιώργος",
        "O’Neil & al. – 2nd try (×2)",
    ],
)
def test_plain_names_pass(text: str) -> None:
    assert require_plain(text) == text


@pytest.mark.parametrize(
    "text",
    [
        " ",
        "Z\u0430o",
        "e\u0301",
        "A\u0488",
        "l\u01c0",
        "\u0661",
        "ﬁne",
        "x\ue000",
        "a\ufe0f",
        "ε-x",
    ],
)
def test_look_alikes_do_not_pass(text: str) -> None:
    with pytest.raises(ValueError, match=r"has|mixes|expected"):
        require_plain(text)


def test_titles_are_in_latin_letters() -> None:
    for text in ("DAS (our reading)", "BS+MS", "Half&Half", "Défense – 2×"):
        assert require_title(text) == text
    for text in ("Щит", "李", "★ best"):
        with pytest.raises(ValueError, match="a title is in Latin letters"):
            require_title(text)


@pytest.mark.parametrize(
    "text",
    ["https://arxiv.org/abs/2501.00001", "http://a.example.org:8080/x?y=1#z", "https://a.org/~me"],
)
def test_plain_addresses_pass(text: str) -> None:
    assert require_web_address(text) == text


@pytest.mark.parametrize(
    "text",
    [
        *("ftp://a.org", "//a.org", "a.org", "https://", "https://a", "https://-a.org"),
        *("https://a..org", "https://a.org:x/", "https://a.org\\@b.org", "https://аpple.com"),
        *("data:text/html,x", "https://@a.org/", "HTTPS//a.org", "https://[::1"),
    ],
)
def test_odd_addresses_do_not_pass(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        require_web_address(text)


def test_limits_hold_before_parsing(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"a": "[[[[[[[[ ,,,,,,"}))
    assert read_json(path, limits=Limits(depth=1, values=1)) == {"a": "[[[[[[[[ ,,,,,,"}
    with pytest.raises(BenchboxError, match="larger than 5 bytes"):
        read_json(path, limits=Limits(size=5))
    os.mkfifo(tmp_path / "b.json")
    with pytest.raises(BenchboxError, match="no such file"):
        read_json(tmp_path / "b.json")


@pytest.mark.parametrize("value", [float("nan"), True, "1"])
def test_a_check_result_takes_numbers_only(value: Any) -> None:
    with pytest.raises(ValueError, match="numbers"):
        CheckResult(name="a", outcome="pass", says="x", numbers={"a": value})


# --- run folders ---


def refused_lines(**changes: Any) -> list[str]:
    """Return the lines a submission is refused with, after seeing that nothing was written."""
    given = options(made_run(), **{"replace": True, **changes})
    before = files_below(given.board)
    with pytest.raises(BenchboxError) as refused:
        submit(prepare(given), checks=CHECKS)
    assert refused.value.exit_code == 2
    assert files_below(given.board) == before
    return str(refused.value).splitlines()


def changed_run(tmp_path: Path, change: Callable[[dict[str, Any]], None] | None = None) -> Path:
    """Return a copy of the made run whose record was changed."""
    out = tmp_path / "out"
    shutil.copytree(made_run() / "out", out, ignore=shutil.ignore_patterns(".lock"))
    if change is not None:
        record = json.loads((out / "run.json").read_text())
        change(record)
        (out / "run.json").write_text(json.dumps(record))
    return out


RECORDS: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "a validation run": (put("grid", "validation", True), "validation: "),
    "fewer steps": (put("grid", "steps", 3), "steps: the run has 3, the protocol 6"),
    "another step size": (put("grid", "step_size", "2/255"), "step_size: the run has 2/255"),
    "another image size": (put("grid", "image_size", [64, 32]), "image_size: the run has 64 × 32"),
    "another convention": (put("grid", "ap", "step"), "ap: the run has step"),
    "half precision": (put("grid", "precision", "bf16"), "precision: the run has bf16"),
    "other guides": (put("grid", "guides", "exclude"), "guides: the run has exclude"),
    "no SMA": (put("grid", "attacks", ["fna"]), "attack sma is missing"),
    "one budget": (put("grid", "budgets", ["8/255"]), "budget 10/255 is missing"),
    "one seed": (put("grid", "seeds", [0]), "seed 1 is missing"),
    "another backbone": (put("grid", "backbones", ["resnet50"]), "backbone small is missing"),
    "another dataset": (
        put("datasets", "market1501", "digest", "0" * 64),
        "dataset market1501: digest 000000000000…",
    ),
    "a failure": (put("failures", ["out of memory"]), "failed: out of memory"),
    "not finished": (put("finished", None), "the run has not finished"),
    "an unknown key of the grid": (put("grid", "budget", 1), "grid: budget: Extra inputs"),
    "a hostile title": (put("titles", "defenses", "bs_ms", "B\u202eS"), "title: has the invisible"),
    "another guard": (put("defenses", "bs_ms", "guard", None), "embed stage has guard"),
    "another recipe": (
        put("defenses", "bs_ms", "recipe", "training", "epochs", 99),
        "train stage has recipe",
    ),
    "a recipe that is none": (
        put("defenses", "bs_ms", "recipe", 7),
        "does not describe the recipe",
    ),
    "a store elsewhere": (put("store", "../none"), "store"),
    "a store that is not said": (put("store", None), "does not say where its store is"),
}


@pytest.mark.parametrize("what", RECORDS)
def test_a_run_off_protocol_is_refused(tmp_path: Path, what: str) -> None:
    change, says = RECORDS[what]
    lines = refused_lines(run=changed_run(tmp_path, change))
    assert any(says in line for line in lines), lines
    assert all(line.isprintable() and len(line) < 700 for line in lines)


def test_everything_that_is_missing_is_said_at_once(tmp_path: Path) -> None:
    def change(record: dict[str, Any]) -> None:
        record["grid"].update(steps=3, validation=True, image_size=[64, 32], ap="step")
        record["failures"] = ["out of memory"]
        record["datasets"]["market1501"]["digest"] = "0" * 64

    out = changed_run(tmp_path, change)
    rows = (out / "results.csv").read_text().splitlines(keepends=True)
    (out / "results.csv").write_text("".join(row for row in rows if ",bs_ms,sma," not in row))
    (out / "per_id.csv").write_text("cell,pid,queries,ap\n")
    lines = refused_lines(run=out)
    for says in ("steps: ", "validation: ", "image_size: ", "ap: ", "failed: ", "digest 0000"):
        assert sum(says in line for line in lines) == 1, says
    # Two pairs of datasets, two budgets, two seeds.
    assert sum("no result: small, market1501" in line for line in lines) == 8
    assert "14 problems; nothing was written" in lines[-1]


def test_a_made_run_for_a_published_board_names_all_deviations(tmp_path: Path) -> None:
    make_run(tmp_path / "run", datasets=["market1501"], seeds=[0, 1], defenses=["bs_ms"])
    board = Path(__file__).resolve().parents[1] / "leaderboards" / "market-duke"
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    record["defenses"] = {"bs_ms": {"recipe": {}, "guard": None}}
    (tmp_path / "run" / "run.json").write_text(json.dumps(record))
    lines = refused_lines(run=tmp_path / "run", board=board)
    text = "\n".join(lines)
    assert "seed 2 is missing" in text
    assert "500 training images, officially 12936" in text


def test_required_checks_have_to_be_run() -> None:
    given = options(made_run(), replace=True)
    checks = {SAME: [PASSED[0], CheckResult(name="bpda", outcome="not run", says="No time.")]}
    with pytest.raises(BenchboxError) as refused:
        submit(prepare(given), checks=checks)
    lines = str(refused.value).splitlines()
    assert len(lines) == 1 + 1 + 2
    assert "market1501 → market1501: required check bpda was not run" in lines[0]
    assert f"{TRANSFER.test}: required check gradients was not run" in lines[1]


def test_an_unknown_defense_names_those_of_the_run() -> None:
    (line,) = refused_lines(defense="ddd")
    assert "has no results of defense 'ddd'. It has: adv_train, bs_ms, origin." in line


@pytest.mark.parametrize(
    ("key", "value"),
    [("paper", "javascript:x"), ("authors", "A\u202eB"), ("note", "x" * 3_000), ("code", "a.org")],
)
def test_what_the_author_says_is_refused_too(key: str, value: str) -> None:
    (line,) = refused_lines(**{key: value})
    assert line.startswith(f"submission: defense: {key}: ")


def artefact(out: Path, kind: str, name: str) -> Path:
    """Return a file of a stage of the clean cell of seed 0 of BS+MS on its own dataset."""
    rows = (out / "results.csv").read_text().splitlines()
    row = next(r for r in rows if r.startswith("market1501,market1501,small,bs_ms,none,"))
    record = json.loads((out / "run.json").read_text())
    key = record["cells"][row.rpartition(",")[2]]["stages"][kind]
    return out / "store" / f"{kind}-{key[:20]}" / name


def relist(file: Path) -> None:
    """Make the stage's list of files agree with what lies there."""
    listing = file.parent / "stage.json"
    content = json.loads(listing.read_text())
    content["files"][file.name] = {"size": file.stat().st_size, "sha256": digest_of_file(file)}
    listing.write_text(json.dumps(content))


def test_a_run_without_its_store_is_refused(tmp_path: Path) -> None:
    out = changed_run(tmp_path)
    shutil.rmtree(out / "store")
    assert any("store" in line and "not on this machine" in line for line in refused_lines(run=out))


def test_a_damaged_artefact_is_refused(tmp_path: Path) -> None:
    out = changed_run(tmp_path)
    file = artefact(out, "rank", "per_query.json")
    file.write_text(file.read_text().replace("query/", "Query/"))
    assert any("no undamaged rank stage" in line for line in refused_lines(run=out))


QUERIES: dict[str, tuple[Callable[[list[dict[str, Any]]], Any], str]] = {
    "better AP": (
        lambda rows: [{**r, "ap": 1.0, "first_hit": 1} for r in rows],
        "its queries give",
    ),
    "AP above 1": (lambda rows: [{**rows[0], "ap": 1.5}, *rows[1:]], "[0].ap: "),
    "AP is NaN": (lambda rows: [{**rows[0], "ap": float("nan")}, *rows[1:]], "NaN is not"),
    "twice the same": (lambda rows: [*rows, rows[0]], "query: one stands there twice"),
    "a hit without AP": (lambda rows: [{**rows[0], "ap": None}, *rows[1:]], "[0].first_hit"),
    "other queries": (
        lambda rows: [{**r, "query": r["query"] + "x"} for r in rows],
        "not those of the other cells",
    ),
    "not a list": (lambda rows: {"a": 1}, "top level: "),
    "fewer queries": (lambda rows: rows[:12], "results.csv has 24 queries, the store 12"),
}


@pytest.mark.parametrize("what", QUERIES)
def test_queries_that_do_not_fit_are_refused(tmp_path: Path, what: str) -> None:
    change, says = QUERIES[what]
    out = changed_run(tmp_path)
    file = artefact(out, "rank", "per_query.json")
    file.write_text(json.dumps(change(json.loads(file.read_text()))))
    relist(file)
    lines = refused_lines(run=out)
    assert any(says in line for line in lines), lines


def test_a_better_number_in_the_table_is_refused(tmp_path: Path) -> None:
    out = changed_run(tmp_path)
    rows = (out / "results.csv").read_text().splitlines()
    place = next(i for i, row in enumerate(rows) if ",bs_ms,fna," in row)
    cells = rows[place].split(",")
    cells[9] = "99.9"
    rows[place] = ",".join(cells)
    (out / "results.csv").write_text("\n".join(rows) + "\n")
    (line,) = [line for line in refused_lines(run=out) if "mAP" in line]
    assert "results.csv has mAP 99.9000, its queries give" in line


def test_an_attack_of_fewer_steps_is_refused_though_the_table_says_otherwise(
    tmp_path: Path,
) -> None:
    out = changed_run(tmp_path)
    for listing in (out / "store").glob("attack-*/stage.json"):
        content = json.loads(listing.read_text())
        content["settings"]["attack"]["steps"] = 1
        listing.write_text(json.dumps(content))
    assert any("attack.steps = 1, expected 6" in line for line in refused_lines(run=out))


class _Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, ("touch /tmp/benchbox-was-here",))


def not_finite(file: Path) -> None:
    tensors = load_file(file)
    tensors["classifier.weight"][0] = float("nan")
    save_file(tensors, file)


WEIGHTS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a pickle": (lambda f: f.write_bytes(pickle.dumps(_Bomb())), "not the weights of a benchbox"),
    "a torch file": (lambda f: torch.save({"a": _Bomb()}, f), "not the weights of a benchbox"),
    "nothing": (lambda f: f.write_bytes(b""), "not the weights of a benchbox"),
    "a header beyond the file": (
        lambda f: f.write_bytes((2**40).to_bytes(8, "little") + b"{}"),
        "not the weights of a benchbox",
    ),
    "of another model": (
        lambda f: save_file({"classifier.weight": torch.zeros(8, 4)}, f),
        "not a benchbox weights file",
    ),
    "of a billion identities": (
        lambda f: save_file({"classifier.weight": torch.zeros(1_000_000_000, 0)}, f),
        "expected one row for each of 1 to",
    ),
    "not finite, and of no header": (not_finite, "not a benchbox weights file"),
    "cut short": (lambda f: f.write_bytes(f.read_bytes()[:-100]), "not the weights of a benchbox"),
    "changed in one byte": (
        lambda f: f.write_bytes(f.read_bytes()[:-1] + b"\x01"),
        "does not match its digest",
    ),
}


@pytest.mark.parametrize("what", WEIGHTS)
def test_weights_that_are_none_are_refused(tmp_path: Path, what: str) -> None:
    change, says = WEIGHTS[what]
    out = changed_run(tmp_path)
    file = artefact(out, "train", "weights.safetensors")
    change(file)
    relist(file)
    lines = refused_lines(run=out)
    assert any(says in line for line in lines), lines
    assert not Path("/tmp/benchbox-was-here").exists()
    with pytest.raises(BenchboxError) as refused:
        require_loadable(file, backbone="small", image_size=(32, 16))
    assert "\n" not in str(refused.value)


def test_weights_behind_a_link_are_refused(tmp_path: Path) -> None:
    out = changed_run(tmp_path)
    file = artefact(out, "train", "weights.safetensors")
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    assert any("no undamaged train stage" in line for line in refused_lines(run=out))
    with pytest.raises(BenchboxError, match="a link is none"):
        require_loadable(file, backbone="small", image_size=(32, 16))


def test_rerun_does_not_look_into_other_weights(tmp_path: Path) -> None:
    """Even where the entry names the digest of a bomb, it is not run."""
    root = submitted()
    files = weights_of(root)
    bomb = tmp_path / "weights.safetensors"
    bomb.write_bytes(pickle.dumps(_Bomb()))
    given = RerunOptions(weights={0: bomb, 1: files[1]}, data_root=root / "data", device="cpu")
    with pytest.raises(BenchboxError, match="SHA-256 is"):
        rerun(root / "boards" / "micro" / NAME, given)
    digest = hashlib.sha256(bomb.read_bytes()).hexdigest()
    path = changed_board(tmp_path, put("weights", 0, "sha256", digest))
    with pytest.raises(BenchboxError, match="not the weights of a benchbox model"):
        rerun(path, given)
    assert not Path("/tmp/benchbox-was-here").exists()


FILES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no record": (lambda out: (out / "run.json").unlink(), "run.json: no such file"),
    "a record that repeats a key": (
        lambda out: (out / "run.json").write_text('{"schema": 1, "schema": 1}'),
        "schema: stands there twice",
    ),
    "a record without end": (
        lambda out: (out / "run.json").write_text("[" * 100_000),
        "nested deeper",
    ),
    "a table that is a link": (
        lambda out: (
            (out / "results.csv").unlink(),
            (out / "results.csv").symlink_to("/etc/passwd"),
        ),
        "results.csv: is a link",
    ),
    "a table cut short": (
        lambda out: (out / "results.csv").write_text((out / "results.csv").read_text()[:-30]),
        "results.csv: row",
    ),
    "no table": (lambda out: (out / "results.csv").unlink(), "results.csv: no such file"),
    "a stage key that climbs": (
        lambda out: (out / "run.json").write_text(
            (out / "run.json").read_text().replace('"train": "', '"train": "../', 1)
        ),
        "stages.train",
    ),
    "a listing that is none": (
        lambda out: [f.write_text("[[[") for f in (out / "store").glob("rank-*/stage.json")],
        "no undamaged rank stage",
    ),
}


@pytest.mark.parametrize("what", FILES)
def test_a_broken_run_folder_is_refused(tmp_path: Path, what: str) -> None:
    change, says = FILES[what]
    out = changed_run(tmp_path)
    change(out)
    lines = refused_lines(run=out)
    assert any(says in line for line in lines), lines


# --- protocols ---


PROTOCOLS = {
    "an unknown key": ("version = 1", "version = 1\nextra = 1", "extra: Extra inputs"),
    "a text for a number": ("steps = 6", 'steps = "6"', "steps: "),
    "a decimal budget": ('"10/255"', "0.04", "budgets[1]: "),
    "a repeated seed": ("[0, 1]", "[0, 0]", "seeds: something stands there twice"),
    "another board": ('board = "micro"', 'board = "other"', "but its folder is"),
    "a date": ("steps = 6", "steps = 2020-01-01", "holds a date"),
    "no TOML": ("version = 1", "version = ", "not valid TOML"),
    "a key twice": ("version = 1", "version = 1\nversion = 2", "not valid TOML"),
    "infinite tolerance": ("rerun_tolerance = 0.5", "rerun_tolerance = inf", "rerun_tolerance"),
    "unofficial counts": (
        'name = "market1501"',
        'official = true\nname = "mine"',
        "has no official counts",
    ),
    "a size of what is not rendered": (
        'name = "market1501"',
        'size = "tiny"\nname = "market1501"',
        "has a size",
    ),
}


@pytest.mark.parametrize("what", PROTOCOLS)
def test_a_faulty_protocol_is_refused_with_one_line(tmp_path: Path, what: str) -> None:
    old, new, says = PROTOCOLS[what]
    text = (made_run() / "boards" / "micro" / "protocol.toml").read_text()
    assert old in text
    board = tmp_path / "micro"
    board.mkdir()
    (board / "protocol.toml").write_text(text.replace(old, new, 1))
    with pytest.raises(BenchboxError) as refused:
        read_protocol(board)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)
    assert str(refused.value).startswith(str(board))
