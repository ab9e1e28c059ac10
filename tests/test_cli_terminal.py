"""The command line in other terminals: quick to refuse, any encoding, a reader that leaves."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchbox.cli.submit import _with_protocol
from benchbox.errors import BenchboxError
from benchbox.files.bundled import bundled_boards, bundled_folder, find_grid
from benchbox.files.console import READER_LEFT

ROOT = Path(__file__).resolve().parents[1]

WITHOUT_TORCH = """
import sys
from benchbox.cli.main import main
sys.argv = ["benchbox", *sys.argv[1:]]
try:
    main()
except SystemExit as stopped:
    code = stopped.code or 0
print("torch" in sys.modules, file=sys.stderr)
sys.exit(code)
"""


def python(*words: object, cwd: Path, encoding: str = "utf-8") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, words)],
        capture_output=True,
        encoding=encoding,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": encoding},
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("run nope.toml", "nope.toml: cannot be read (no such file)"),
        ("run dem", "unknown grid 'dem'. Did you mean 'demo'?"),
        ("run broken.toml", "broken.toml: not valid TOML"),
        ("report nope", "nope/run.json: cannot be read"),
        ("compare nope", "nope/run.json: cannot be read"),
        ("submit nope --defense origin", "nope/run.json: cannot be read"),
        ("leaderboard verify nope", "nope: no such file or folder"),
        ("leaderboard build", "leaderboards: no such file or folder"),
        ("regress nope.json", "nope.json: no such file or folder"),
        ("regress-speed nope.json nope.json --reference x", "nope.json: no such file or folder"),
    ],
)
def test_what_is_not_there_is_said_before_pytorch_is_loaded(tmp_path, command, says) -> None:
    (tmp_path / "broken.toml").write_text("a = = 1")
    done = python("-c", WITHOUT_TORCH, *command.split(), cwd=tmp_path)
    assert done.returncode == 2
    assert says in done.stderr
    assert done.stderr.splitlines()[-1] == "False"
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["broken.toml"]


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "ascii"])
def test_a_terminal_that_is_not_utf8_is_shown_what_it_can_show(tmp_path, encoding) -> None:
    file = tmp_path / "g.toml"
    file.write_text(
        (ROOT / "grids" / "transfer-sidewalk.toml")
        .read_text()
        .replace("Robustness on", "Robustness → on")
    )
    done = python("-m", "benchbox", "run", file, "--dry-run", cwd=tmp_path, encoding=encoding)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "Robustness \\u2192 on" in done.stdout
    assert "sidewalk-a \\u2192 sidewalk-b" in done.stdout


def test_a_reader_that_leaves_ends_the_command_without_a_word(tmp_path) -> None:
    """As `benchbox grids | true`: the pipe is closed before the first line is written."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "benchbox", "grids"],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=120,
        check=False,
    )
    os.close(writing)
    assert done.stderr == ""
    assert done.returncode == READER_LEFT


def test_data_check_takes_the_names_that_grids_take(tmp_path) -> None:
    from tests.micro import make_micro_dataset

    made = make_micro_dataset(tmp_path / "sidewalk-a-tiny")
    for name in (f"path:{made}", "sidewalk-a", str(made)):
        done = python("-m", "benchbox", "data", "check", name, "--data-root", tmp_path, cwd=ROOT)
        assert done.returncode == 0, done.stderr
        assert "bounding_box_train" in done.stdout
        assert str(made) in done.stdout
    done = python("-m", "benchbox", "data", "check", "market1501", "--data-root", ".", cwd=tmp_path)
    assert done.returncode == 2
    assert "market1501: not found" in done.stderr


def test_a_submission_gives_a_new_board_its_protocol(tmp_path, capsys) -> None:
    board = tmp_path / "boards" / "sidewalk-tiny"
    with _with_protocol(board):
        assert (board / "protocol.toml").is_file()
    original = ROOT / "leaderboards" / "sidewalk-tiny" / "protocol.toml"
    assert (board / "protocol.toml").read_bytes() == original.read_bytes()
    (board / "protocol.toml").write_text("# the user's own")
    with _with_protocol(board):
        pass
    assert (board / "protocol.toml").read_text() == "# the user's own"


def test_a_refused_submission_leaves_no_board(tmp_path) -> None:
    with (
        pytest.raises(BenchboxError, match="off protocol"),
        _with_protocol(tmp_path / "boards" / "sidewalk-tiny"),
    ):
        raise BenchboxError("off protocol")
    assert not (tmp_path / "boards" / "sidewalk-tiny").exists()
    with (
        pytest.raises(BenchboxError, match=r"unknown board 'sidewalk'.*Did you mean 'sidewalk-"),
        _with_protocol(tmp_path / "boards" / "sidewalk"),
    ):
        pass
    assert not (tmp_path / "boards" / "sidewalk").exists()


def test_a_package_is_searched_before_what_lies_beside_it(tmp_path) -> None:
    package = tmp_path / "site-packages" / "benchbox"
    (package.parent / "grids").mkdir(parents=True)
    assert bundled_folder("grids", package=package) == package.parent / "grids"
    (package / "bundled" / "grids").mkdir(parents=True)
    assert bundled_folder("grids", package=package) == package / "bundled" / "grids"
    with pytest.raises(BenchboxError, match="Install benchbox again"):
        bundled_folder("leaderboards", package=package)


def test_a_file_of_a_grids_name_is_the_file(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    assert find_grid(Path("demo")) == ROOT / "grids" / "demo.toml"
    (tmp_path / "demo").mkdir()
    assert find_grid(Path("demo")) == ROOT / "grids" / "demo.toml"
    with pytest.raises(BenchboxError, match="not a regular file"):
        find_grid(Path("folder"))
    (tmp_path / "demo").rmdir()
    (tmp_path / "demo").write_text("name = 'mine'")
    assert find_grid(Path("demo")) == Path("demo")
    boards = {path.parent.name for path in (ROOT / "leaderboards").glob("*/protocol.toml")}
    assert set(bundled_boards()) == boards
