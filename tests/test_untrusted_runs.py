"""Hostile runs, entries and arguments through the command line: one clear line, exit code 1 or 2.

What is tried here would hang, fill the memory, leave its folder or end in a traceback.
"""

import hashlib
import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from benchbox.cli import main as cli
from benchbox.errors import BenchboxError, unknown_name
from benchbox.files.bounded import read_at_most
from benchbox.results.artefacts import Artefacts
from benchbox.results.run_folder import read_run
from benchbox.runs.grid import parse_fraction
from benchbox.untrusted.json import parse_json
from benchbox.untrusted.text import require_visible, require_web_address
from tests.made_boards import changed_board, files_below, made_run
from tests.test_leaderboard_untrusted import artefact, changed_run, drop, put, relist

Call = Callable[..., list[str]]
Change = Callable[[dict[str, Any]], None]


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run a command line, see that it is refused, and return the lines it says."""

    def call(*words: object) -> list[str]:
        monkeypatch.setattr("sys.argv", ["benchbox", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        assert ended.value.code in (1, 2)
        lines = (said.out + said.err).strip().split("\n")
        assert all(line.isprintable() and len(line) < 1_100 for line in lines), lines
        return lines

    return call


def submitting(refused: Call, out: Path, *more: object) -> list[str]:
    """Return the lines that submitting a run is refused with; nothing is written."""
    boards = made_run() / "boards"
    before = files_below(boards)
    words = ("submit", out, "--defense", "bs_ms", "--boards", boards, "--replace")
    lines = refused(*words, "--board", "micro", "--allow-unchecked", *more)
    assert files_below(boards) == before
    return lines


def said(lines: list[str], text: str) -> bool:
    return any(text in line for line in lines)


# --- entries ---


def nested(content: dict[str, Any]) -> None:
    value: Any = [0] * 1_000 + [10**30]
    for place in range(12):
        value = {"k" * 150 + str(place): value}
    content["provenance"]["defense"] = value


ENTRIES: dict[str, tuple[Change, str]] = {
    "a step size of a hundred million digits": (
        put("provenance", "grid", "step_size", "1e99999999"),
        "step_size: expected a fraction",
    ),
    "a budget as small": (
        put("provenance", "grid", "budgets", ["8/255", "1e-99999999"]),
        "budgets[1]: expected a fraction",
    ),
    "many seeds": (put("provenance", "grid", "seeds", list(range(150_000))), "seeds: List should"),
    "a key of thousands of letters": (
        put("provenance", "grid", "k" * 300, 1),
        "a key: longer than 200 characters",
    ),
    "nested long keys": (nested, "a number out of range"),
    "the end of time": (
        put("provenance", "finished", "9999-12-31T23:59:59-23:59"),
        "provenance.finished: ",
    ),
    "before time": (put("provenance", "started", "0001-01-01T00:00:00+23:59"), "started: "),
    "seconds in quotes": (put("provenance", "started", "1700000000"), "expected a time such as"),
    "a day in quotes": (put("submitted", "1700000000"), "expected a date such as"),
    "null in the grid": (put("provenance", "grid", "training", {"x": None}), "training.x: null"),
    "a package that runs backwards": (
        put("provenance", "versions", {"tor\u202ech": "1"}),
        "provenance.versions",
    ),
    "a package of two lines": (put("provenance", "versions", {"a\nb": "1"}), "versions"),
    "a title that hides": (put("provenance", "grid", "title", "x\u200by"), "U+200B"),
    "a key that hides": (put("provenance", "defense", {"guard": {"\u202ea": 1}}), "U+202E"),
    "a look-alike host": (put("defense", "paper", "https://xn--pple-43d.com/"), "with a host"),
    "a host by number": (put("defense", "paper", "http://127.0.0.1/x"), "with a host"),
    "an endless gallery": (put("counts", "gallery", 2**53), "counts.gallery: "),
}


@pytest.mark.parametrize("what", ENTRIES)
def test_a_hostile_entry_is_one_line(tmp_path: Path, refused: Call, what: str) -> None:
    change, says = ENTRIES[what]
    path = changed_board(tmp_path, change)
    lines = refused("leaderboard", "verify", path)
    assert len(lines) == 2, lines
    assert says in lines[0]


def test_what_verify_passes_can_be_built_and_what_it_refuses_cannot(
    tmp_path: Path, refused: Call
) -> None:
    path = changed_board(tmp_path, put("provenance", "grid", "training", {"x": None}))
    lines = refused("leaderboard", "build", "--boards", path.parents[1], "--out", tmp_path / "site")
    assert said(lines, path.stem)


@pytest.mark.parametrize("content", [b'"' + b'\\"' * 100_000, b'{"a": "' + b"\\\\" * 99_999])
def test_a_text_that_does_not_end_is_found_at_once(content: bytes) -> None:
    with pytest.raises(BenchboxError, match="not valid JSON"):
        parse_json(content, where="x")


@pytest.mark.parametrize(
    "text", ["1e9", "1e-9", "+1/2", "1/1e3", "1_0/255", "1/" + "9" * 4_000, "٣"]
)
def test_only_plain_fractions_pass(text: str) -> None:
    with pytest.raises(ValueError, match="expected a fraction"):
        parse_fraction(text)
    assert parse_fraction("0.03") * 100 == 3


def test_plain_texts_and_addresses_pass() -> None:
    value = {"a": ["L∞, 8/255", "", 1, None, {"b": "é"}]}
    assert require_visible(value) is value
    for address in ("https://a1.org/xn--x", "https://1.example.org", "http://3d.com"):
        assert require_web_address(address) == address


# --- protocols and grids ---

TOML = {
    "a number of 5000 digits": "9" * 5_000,
    "a key of 20000 parts": "1\na" + ".a" * 20_000 + " = 1",
    "deep lists": "[\n" * 5_000,
    "more than is read": "[" + "1,\n" * 100_000,
}


@pytest.mark.parametrize("what", TOML)
def test_hostile_toml_is_one_line(tmp_path: Path, refused: Call, what: str) -> None:
    path = changed_board(tmp_path, lambda content: None)
    board = path.parent / "protocol.toml"
    board.write_text(board.read_text().replace("steps = 6", f"steps = {TOML[what]}"))
    lines = refused("leaderboard", "verify", path.parent)
    assert all("protocol.toml: " in line for line in lines[:-1])
    grid = tmp_path / "grid.toml"
    grid.write_text(f'name = "x"\nsteps = {TOML[what]}\n')
    (line,) = refused("run", grid, "--dry-run")
    assert line.startswith(f"error: {grid}: ")


def test_a_grid_that_is_no_file_is_not_waited_for(tmp_path: Path, refused: Call) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    for place in (tmp_path / "pipe.toml", "/dev/zero"):
        (line,) = refused("run", place, "--dry-run")
        assert "not a regular file" in line
    with pytest.raises(OSError, match="not a regular file"):
        read_at_most(tmp_path, size=1)


# --- the record and the tables of a run ---

RECORDS: dict[str, tuple[Change, str]] = {
    "the store of nobody": (put("store", "~nosuchuser/x"), "is not on this machine"),
    "a store's name too long": (put("store", "x" * 300), "is not on this machine"),
    "a store of two lines": (put("store", "a\x1b[31m\nb"), "is not on this machine"),
    "no guard": (drop("defenses", "bs_ms", "guard"), "does not describe the guard"),
    "a dataset of two lines": (put("datasets", "a\x1b[31m\nok", 5), "run.json: datasets.a"),
    "an endless schema": (put("schema", ["x" * 3_999] * 300), "schema is"),
    "an endless step size": (put("grid", "step_size", "1e99999999"), "step_size: "),
    "many seeds": (put("grid", "seeds", list(range(60_000))), "seeds: "),
    "seeds that are none": (put("grid", "seeds", 5), "seeds: "),
    "many failures": (put("failures", ["x"] * 200_000), "failed: x"),
    "the end of time": (put("started", "9999-12-31T23:59:59-23:59"), "provenance.started: "),
    "a package that runs backwards": (put("versions", {"py\u202ethon": "1"}), "versions"),
}


@pytest.mark.parametrize("what", RECORDS)
def test_a_hostile_record_is_refused(tmp_path: Path, refused: Call, what: str) -> None:
    change, says = RECORDS[what]
    lines = submitting(refused, changed_run(tmp_path, change))
    assert said(lines, says), lines


def cell(column: str, value: str) -> Callable[[str], str]:
    """Return a change of one value of a table's first row."""

    def change(text: str) -> str:
        header, first, *rest = text.split("\n")
        values = dict(zip(header.split(","), first.split(","), strict=True))
        return "\n".join([header, ",".join({**values, column: value}.values()), *rest])

    return change


TABLES: dict[str, tuple[str, Callable[[str], str], str]] = {
    "a seed beyond": ("results.csv", cell("seed", "1e300"), "column seed: '1e300'"),
    "steps beyond": ("results.csv", cell("steps", "1e25"), "column steps: "),
    "queries beyond": ("results.csv", cell("queries", "1e30"), "column queries: "),
    "an identity beyond": ("per_id.csv", cell("pid", "1e30"), "column pid: "),
    "a long number": ("results.csv", cell("mAP", "x" * 1_000_000), "column mAP: 'xxx"),
    "a wide header": ("results.csv", lambda t: "," * 2_000_000 + "\n" + t, "a first line of at"),
    "a hundred columns": ("results.csv", lambda t: "," * 100 + t, "a first line of at most"),
    "a header of many lines": ("results.csv", lambda t: '"\n",' + t, "a first line of at most"),
    "empty lines": ("results.csv", lambda t: t + "\n" * 300_000, "more than 200,000 rows"),
    "empty lines of old": ("results.csv", lambda t: t + "\r" * 300_000, "more than 200,000 rows"),
    "many identities": ("per_id.csv", lambda t: t + "\n" * 1_100_000, "more than 1,000,000 rows"),
}


@pytest.mark.parametrize("what", TABLES)
def test_a_hostile_table_is_refused(tmp_path: Path, refused: Call, what: str) -> None:
    name, change, says = TABLES[what]
    out = changed_run(tmp_path)
    (out / name).write_text(change((out / name).read_text()))
    (line,) = submitting(refused, out)
    assert f"{name}: " in line
    assert says in line


# --- its store ---


def replaced(file: Path, make: Callable[[Path], object]) -> None:
    file.unlink()
    make(file)


def listing(out: Path, name: str, size: int, sha256: str = "0" * 64) -> None:
    """Add a file to what a rank stage says that it holds."""
    file = artefact(out, "rank", "stage.json")
    content = json.loads(file.read_text())
    content["files"][name] = {"size": size, "sha256": sha256}
    file.write_text(json.dumps(content))


def climbing(out: Path) -> None:
    secret = out / "secret"
    secret.write_text("x")
    listing(out, "../../secret", 1, hashlib.sha256(b"x").hexdigest())


def sparse(out: Path) -> None:
    with artefact(out, "rank", "big.bin").open("wb") as stream:
        stream.truncate(200 << 30)
    listing(out, "big.bin", 200 << 30)


def linked_file(out: Path) -> None:
    file = artefact(out, "rank", "result.json")
    file.rename(out / "elsewhere")
    file.symlink_to(out / "elsewhere")


def linked_folder(out: Path) -> None:
    folder = artefact(out, "rank", "stage.json").parent
    folder.rename(out / "elsewhere")
    folder.symlink_to(out / "elsewhere")


STORES: dict[str, Callable[[Path], object]] = {
    "a pipe": lambda out: replaced(artefact(out, "rank", "stage.json"), os.mkfifo),
    "a device": lambda out: replaced(
        artefact(out, "rank", "stage.json"), lambda file: file.symlink_to("/dev/zero")
    ),
    "a path that climbs": climbing,
    "a path from the root": lambda out: listing(out, str((out / "run.json").resolve()), 1),
    "a name too long": lambda out: listing(out, "x" * 300, 1),
    "a name of too many bytes": lambda out: listing(out, "é" * 200, 1),
    "a negative size": lambda out: listing(out, "a", -1),
    "two hundred gigabytes": sparse,
    "a file that is a link": linked_file,
    "a folder that is a link": linked_folder,
}


@pytest.mark.parametrize("what", STORES)
def test_a_hostile_stage_counts_as_not_there(tmp_path: Path, refused: Call, what: str) -> None:
    out = changed_run(tmp_path)
    STORES[what](out)
    assert said(submitting(refused, out), "the store has no undamaged rank stage")


def test_a_pipe_among_the_stages_does_not_hold_up_a_regression_check(
    tmp_path: Path, refused: Call
) -> None:
    out = changed_run(tmp_path)
    replaced(artefact(out, "rank", "stage.json"), os.mkfifo)
    words = ("regress", tmp_path / "base.json", "--update", "--run", out)
    assert said(refused(*words), "no undamaged rank stage")
    replaced(out / "run.json", os.mkfifo)
    assert said(refused(*words), "run.json: no such file")
    replaced(out / "run.json", lambda file: file.write_text("[" * 100_000))
    assert said(refused(*words), "nested deeper")
    assert not (tmp_path / "base.json").exists()


def header(**tensors: Any) -> bytes:
    text = json.dumps(tensors).encode()
    return struct.pack("<Q", len(text)) + text


def retyped(dtype: torch.dtype) -> Callable[[Path], None]:
    def change(file: Path) -> None:
        with safe_open(file, "pt") as opened:
            metadata = opened.metadata()
        found = load_file(file)
        first = next(
            k for k, v in found.items() if v.is_floating_point() == dtype.is_floating_point
        )
        save_file({**found, first: found[first].to(dtype)}, file, metadata=metadata)

    return change


def with_metadata(text: str) -> Callable[[Path], None]:
    return lambda file: save_file(load_file(file), file, metadata={"benchbox-weights-1": text})


WEIGHTS: dict[str, Callable[[Path], object]] = {
    "brackets": with_metadata("[" * 100_000),
    "digits": with_metadata("9" * 5_000),
    "eighths": retyped(torch.float8_e4m3fn),
    "unsigned": retyped(torch.uint64),
    "unsigned and short": retyped(torch.uint16),
    "no rows": lambda f: save_file({"classifier.weight": torch.tensor(1.0)}, f),
    "no columns": lambda f: save_file({"classifier.weight": torch.zeros(90_000, 0)}, f),
    "beyond": lambda f: f.write_bytes(
        header(
            **{"classifier.weight": {"dtype": "F32", "shape": [2**62, 0], "data_offsets": [0, 0]}}
        )
    ),
}


@pytest.mark.parametrize("what", WEIGHTS)
def test_hostile_weights_are_one_line(tmp_path: Path, refused: Call, what: str) -> None:
    out = changed_run(tmp_path)
    file = artefact(out, "train", "weights.safetensors")
    WEIGHTS[what](file)
    relist(file)
    assert said(submitting(refused, out), "weights.safetensors: ")
    cell = _cell_of(out)
    with pytest.raises(BenchboxError, match=r"weights\.safetensors"):
        Artefacts(read_run(out)).network(cell)


def _cell_of(out: Path) -> str:
    rows = (out / "results.csv").read_text().splitlines()
    row = next(r for r in rows if r.startswith("market1501,market1501,small,bs_ms,none,"))
    return row.rpartition(",")[2]


FEATURES: dict[str, Callable[[Path], object]] = {
    "a pickle": lambda f: f.write_bytes(b"\x80\x04K\x01."),
    "nothing": lambda f: f.write_bytes(b""),
    "no query": lambda f: save_file({"gallery": torch.zeros(48, 8)}, f),
    "two widths": lambda f: save_file(
        {"gallery": torch.zeros(48, 8), "query": torch.zeros(24, 9)}, f
    ),
    "another model's width": lambda f: save_file(
        {"gallery": torch.zeros(48, 9), "query": torch.zeros(24, 9)}, f
    ),
    "no width": lambda f: save_file({"gallery": torch.zeros(48), "query": torch.zeros(24)}, f),
}


@pytest.mark.parametrize("what", FEATURES)
def test_hostile_embeddings_are_refused(tmp_path: Path, what: str) -> None:
    out = changed_run(tmp_path)
    file = artefact(out, "embed", "features.safetensors")
    FEATURES[what](file)
    relist(file)
    with pytest.raises(BenchboxError, match=r"features\.safetensors: "):
        Artefacts(read_run(out)).features(_cell_of(out))


def test_a_file_that_no_listing_has_is_not_read(tmp_path: Path) -> None:
    out = changed_run(tmp_path)
    for name, kind in (("features.safetensors", "embed"), ("weights.safetensors", "train")):
        file = artefact(out, kind, "stage.json")
        content = json.loads(file.read_text())
        del content["files"][name]
        file.write_text(json.dumps({**content}))
        with pytest.raises(BenchboxError, match=f"has no {name}"):
            Artefacts(read_run(out)).file(_cell_of(out), kind, name)


def test_a_model_is_built_as_the_run_says_whatever_its_recipe_file_says(tmp_path: Path) -> None:
    out = changed_run(tmp_path)
    file = artefact(out, "train", "recipe.json")
    file.write_text(json.dumps({"backbone": "eva02_enormous_patch14_clip_224", "image_size": "ab"}))
    relist(file)
    store = Artefacts(read_run(out))
    assert store.network(_cell_of(out)).model(torch.zeros(1, 3, 32, 16)).shape[0] == 1
    assert store.image_size == (32, 16)
    for root in ("~nosuchuser/x", "x" * 300, "a\0b"):
        store.run.record.datasets["market1501"].root = root
        with pytest.raises(BenchboxError, match="is not on this machine"):
            store.dataset("market1501")


def test_many_queries_are_not_all_looked_at(tmp_path: Path, refused: Call) -> None:
    out = changed_run(tmp_path)
    file = artefact(out, "rank", "per_query.json")
    file.write_text("[" + "0," * 300_000 + "0]")
    relist(file)
    assert said(submitting(refused, out), "per_query.json: [0]: ")


# --- arguments ---


def test_names_too_long_for_the_file_system_are_one_line(tmp_path: Path, refused: Call) -> None:
    long = "x" * 300
    entry = changed_board(tmp_path, lambda content: None)
    boards = entry.parents[1]
    out = made_run() / "out"
    for words in (
        ("leaderboard", "verify", long),
        ("leaderboard", "verify", "--boards", long),
        ("leaderboard", "build", "--boards", boards, "--out", tmp_path / long),
        ("leaderboard", "verify", entry, "--rerun", "--weights", f"0={long}"),
        ("submit", long, "--defense", "bs_ms", "--boards", boards, "--board", "micro"),
        ("list", "--plugin", f"{long}.py"),
        ("new-defense", "fine_one", "--out", tmp_path / long),
        ("regress", long, "--run", out),
    ):
        lines = refused(*words)
        assert len(lines) <= 2, words
    digits = f"{'9' * 5_000}=x"
    assert said(
        refused("leaderboard", "verify", entry, "--rerun", "--weights", digits), "SEED=FILE"
    )


@pytest.mark.parametrize("board", ["../boards/micro", "/tmp/micro", ".", "x" * 300, "a--b"])
def test_a_board_is_named_and_not_a_path(refused: Call, board: str) -> None:
    (line,) = submitting(refused, made_run() / "out", "--board", board)
    assert line.startswith("error: --board: ")


@pytest.mark.parametrize("name", ["[/red]", "\x1b[31m\nx"])
def test_where_a_site_was_written_is_said_as_it_is(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    boards = changed_board(tmp_path, lambda content: None).parents[1]
    words = ["leaderboard", "build", "--boards", boards, "--out", tmp_path / name]
    monkeypatch.setattr("sys.argv", ["benchbox", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0
    (line,) = capsys.readouterr().out.strip("\n").split("\n")
    assert line.isprintable()
    assert (tmp_path / name / "index.html").is_file()
    assert line.endswith("index.html")


@pytest.mark.parametrize(
    "names",
    [["a" * 300], ["/".join("abcd")], ["/".join(["x"] * 240 + [str(i)]) for i in range(999)]],
)
def test_a_hostile_marker_is_one_line(tmp_path: Path, refused: Call, names: list[str]) -> None:
    boards = changed_board(tmp_path, lambda content: None).parents[1]
    site = tmp_path / "site"
    site.mkdir()
    (site / ".benchbox-site.json").write_text(json.dumps({"schema": 1, "files": names}))
    assert len(refused("leaderboard", "build", "--boards", boards, "--out", site)) == 1
    assert [path.name for path in site.iterdir()] == [".benchbox-site.json"]


@pytest.mark.parametrize(
    "code",
    ["import sys; sys.exit(0)", "raise GeneratorExit", 'raise ValueError("a\\n\\x1b[31mb")'],
)
def test_a_plugin_that_fails_is_one_line(tmp_path: Path, refused: Call, code: str) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(code)
    (line,) = refused("list", "--plugin", plugin)
    assert "running it failed with" in line


def test_messages_name_some_of_many() -> None:
    text = str(unknown_name("key", "k" * 5_000, [f"name{place:04}" for place in range(2_000)]))
    assert text.count("name0") == 30
    assert text.endswith("name0029 and 1970 more.")
    assert len(text) < 500


def benchmarks(path: Path, **times: float) -> Path:
    """Write pytest-benchmark's JSON."""
    found = [
        {"name": name, "fullname": f"t::{name}", "stats": {"min": t, "median": t, "rounds": 5}}
        for name, t in times.items()
    ]
    path.write_text(json.dumps({"benchmarks": found}))
    return path


def test_speeds_that_are_none_are_refused(tmp_path: Path, refused: Call) -> None:
    good = benchmarks(tmp_path / "good.json", ref=1.0, x=1.0)
    tiny = benchmarks(tmp_path / "tiny.json", ref=1e6, x=5e-324)
    for old, new in ((tiny, good), (good, tiny)):
        (line,) = refused("regress-speed", old, new, "--reference", "ref")
        assert "stats.min: " in line
    words = ("regress-speed", good, good, "--reference", "ref", "--threshold", "inf")
    assert said(refused(*words), "expected a finite threshold")
    named = benchmarks(tmp_path / "named.json", ref=1.0, **{"x\x1b[31m\nFAKE": 1.0})
    assert said(refused("regress-speed", named, good, "--reference", "ref"), "FAKE")
