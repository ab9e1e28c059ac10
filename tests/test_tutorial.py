"""The commands of docs/tutorial.md and docs/ci.md work as they stand there, on a micro dataset.

It takes the place of `sidewalk-a`: rendered images need minutes, and these seconds. Commands of
benchbox run in this process, one after another; pytest's have one of their own, as they stand.
"""

import json
import re
import shlex
import subprocess
import sys
import tomllib
from fractions import Fraction
from pathlib import Path

import pytest

from benchbox.data.finding import open_dataset
from benchbox.leaderboard.board_protocol import read_protocol
from benchbox.leaderboard.on_protocol import grid_deviations
from benchbox.leaderboard.sanity.checks import CHECKS
from benchbox.leaderboard.submitting.prepare import refused
from benchbox.runs.grid import Grid
from tests.micro import make_micro_dataset
from tests.pages import DOCS, ROOT, Typist, commands, of_benchbox, shown

TUTORIAL, CI = DOCS / "tutorial.md", DOCS / "ci.md"
TEXT = TUTORIAL.read_text()
BOARD = Path("leaderboards/sidewalk-tiny")
ENTRY = BOARD / "market1501--market1501--small--steady--v2.json"
STAND_IN = {
    "sidewalk-a": "market1501",
    "[64, 32]": "[32, 16]",
    "epochs = 25\n": "epochs = 2\nbatch_identities = 4\n",
    "epochs = 5,": "epochs = 1,",
    "pad = 3": "pad = 1",
}


def on_micro(text: str) -> str:
    for full, small in STAND_IN.items():
        text = text.replace(full, small)
    return text


def grid_of(text: str) -> Grid:
    return Grid.model_validate_json(json.dumps(tomllib.loads(text)))


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """A checkout's folder: the micro dataset, and the tutorial's board with it for a dataset."""
    micro = make_micro_dataset(tmp_path / "data" / "Market-1501-v15.09.15", test=12)
    monkeypatch.setenv("BENCHBOX_DATA", str(micro.parent))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    digest = open_dataset("market1501", data_root=micro.parent).digest
    text = on_micro((ROOT / BOARD / "protocol.toml").read_text())
    text, count = re.subn(
        r'(?<=name = "market1501"\n)size = "tiny"\ndigest = "\w+"', f'digest = "{digest}"', text
    )
    assert count == 1
    (tmp_path / BOARD).mkdir(parents=True)
    (tmp_path / BOARD / "protocol.toml").write_text(text)
    return tmp_path


@pytest.fixture
def call(place: Path, monkeypatch, capsys):
    """Run a command of a page as it stands there, and return what it printed."""
    type_in = Typist(monkeypatch, capsys, place)

    def run(command: str, *more: str) -> str:
        command = on_micro(command)
        if words := of_benchbox(command):
            return type_in(*words, *more)
        program, *words = shlex.split(command)
        assert program == ".venv/bin/python", command
        done = subprocess.run(
            [sys.executable, *words, *more],
            capture_output=True,
            text=True,
            cwd=place,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout

    return run


def in_shell(command: str, place: Path) -> str:
    done = subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, cwd=place, check=True
    )
    return done.stdout


@pytest.mark.slow
def test_every_command_of_the_tutorial_runs(place: Path, call) -> None:
    (place / "steady.toml").write_text(on_micro(shown(TUTORIAL, "toml", "steady.toml")))
    said: dict[str, str] = {}
    digests = ""
    for command in commands(TUTORIAL):
        if command.startswith(("git ", "make ")) or " pip install " in command:
            continue
        if command.startswith("sha256sum "):
            digests = in_shell(command, place)
        elif command.startswith("cp "):
            entry = json.loads((place / ENTRY).read_text())
            (key,) = re.findall(rf"^{entry['weights'][0]['sha256']} .*/train-(\w+)/", digests, re.M)
            assert digests.count("\n") == 2  # Origin's and the author's
            in_shell(command.replace("<key>", key), place)
        else:
            said[command] = call(command)

    def output(words: str) -> str:
        (found,) = [text for command, text in said.items() if words in command]
        return found

    assert output("new-defense") == "written: steady.py\nwritten: test_steady.py\n"
    assert "9 passed" in output("pytest")
    assert "Steady" in (place / "runs" / "mine" / "tables" / "white_box.md").read_text()
    assert (place / "runs" / "mine" / "report.html").stat().st_size > 10_000
    entry = json.loads((place / ENTRY).read_text())
    assert f"{entry['status']}: {ENTRY}" in output(" submit ")
    assert entry["defense"]["code"] == "https://example.org/code"
    assert {check["name"] for check in entry["checks"]} == set(CHECKS)
    assert "1 entry, 0 problems" in output("verify leaderboards/")
    repeated = "142 numbers recomputed, tolerance 1 mAP, 10 sanity checks repeated: all agree"
    assert repeated in output("--rerun")
    assert "Steady" in "".join(page.read_text() for page in (place / "site").rglob("*.html"))


def test_the_grid_of_the_tutorial_is_what_its_board_asks_for() -> None:
    grid = grid_of(shown(TUTORIAL, "toml", "steady.toml"))
    protocol = read_protocol(ROOT / BOARD)
    assert grid_deviations(grid, protocol) == []
    # The refusal it shows is what a budget left out brings.
    less = grid.model_copy(update={"budgets": grid.budgets[:1]})
    error = refused(Path("runs/mine"), protocol, grid_deviations(less, protocol))
    assert grid.budgets[1:] == [Fraction(10, 255)]
    (told,) = re.findall(r"^ +error: (.*\n.*written\.)\n", TEXT, re.M)
    assert [line.strip() for line in told.splitlines()] == str(error).splitlines()


def test_the_tutorial_names_every_check_and_entry() -> None:
    assert re.findall(r"^\| `(\w+)` \|", TEXT, re.M) == list(CHECKS)
    real = str(ENTRY).replace("market1501", "sidewalk-a")
    assert TEXT.count(real) == TEXT.count("--steady--") == 3


@pytest.mark.slow
def test_every_command_of_the_ci_page_runs(place: Path, call) -> None:
    (place / "grids").mkdir()
    (place / "grids" / "ci.toml").write_text(on_micro(shown(CI, "toml", "grids/ci.toml")))
    times = {"test_reference_loop": 2.0, "test_attack": 3.0}
    benchmarks = [
        {"name": name, "fullname": name, "stats": {"min": seconds}}
        for name, seconds in times.items()
    ]
    for file in ("before.json", "after.json"):
        (place / file).write_text(json.dumps({"benchmarks": benchmarks}))
    told = [call(command) for command in commands(CI)]
    assert len(told) == 6
    assert "what the update changes" in told[1]
    assert "No regression: all 4 cells are as they were." in told[2]
    assert "No regression: all 4 cells are as they were." in told[3]
    assert "No benchmark of 1 became slower." in told[5]
    assert (place / "robustness.xml").read_text().count("<testcase ") == 4
    assert "🟢" in (place / "robustness.md").read_text()

    (place / "test_robustness.py").write_text(shown(CI, "python", "test_robustness.py"))
    command = ".venv/bin/python -m pytest test_robustness.py"
    # A stray pytest.ini above the temporary folder would move the root that paths start at.
    assert "1 passed" in call(command, "-p", "no:cacheprovider", "--rootdir", ".")


def test_the_workflow_runs_what_the_ci_page_says() -> None:
    workflow = (ROOT / "docs" / "github-workflow.yml").read_text()
    joined = re.sub(r"\s+", " ", workflow)
    joined = joined.replace('"$BASELINE"', "baselines/ci.json").replace('"$GRID"', "grids/ci.toml")
    (command,) = [command for command in commands(CI) if "--junit" in command]
    assert command in joined


def test_the_pages_workflow_runs_what_the_tutorial_says() -> None:
    workflow = (ROOT / "docs" / "pages-workflow.yml").read_text()
    run = re.findall(r"run: (\.venv.+)", workflow)
    assert [command for command in commands(TUTORIAL) if command in run] == run
    assert len(run) == 2
