"""Pages as tests read them: what their blocks hold, and their commands, run in this process.

A page's commands would start a Python each, and with it PyTorch. What a new process changes is
tested elsewhere (test_run, test_faults, test_wheel); here it only costs.
"""

import re
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from benchbox.cli.main import main
from benchbox.reports.drawings import draw_all
from benchbox.reports.drawings.picture import save_drawing
from benchbox.runs.executors import choosing
from benchbox.runs.executors.events import Done, Event, Started
from benchbox.runs.executors.waiting import Waiting
from benchbox.runs.stages import Stage
from benchbox.runs.worker import do_stage
from benchbox.runs.workplace import Site, Workplace

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
DOCS = ROOT / "docs"
PAGES = [README, ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    """Return the blocks of a language in a page."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def shown(page: Path, language: str, name: str) -> str:
    """Return the file that a page shows under its name."""
    (content,) = [block for block in blocks(page, language) if block.startswith(f"# {name}\n")]
    return content


def commands(page: Path) -> list[str]:
    """Return every line that a page says to type, without remarks."""
    lines = [line for block in blocks(page, "bash") for line in block.splitlines()]
    return [command for line in lines if (command := re.sub(r"(^|\s+)#.*", "", line))]


def of_benchbox(command: str) -> list[str] | None:
    """Return what follows ``benchbox`` in a command, None if it is another program's."""
    program, *words = shlex.split(command)
    return words if program in {"benchbox", ".venv/bin/benchbox"} else None


@dataclass(frozen=True)
class OneAfterAnother:
    """Does the stages of a run in this process; a failure is the test's."""

    site: Site
    workers: int
    gpus: tuple[int, ...] = ()

    def execute(self, stages: Sequence[Stage], notify: Callable[[Event], None]) -> None:
        waiting = Waiting(stages)
        place = Workplace(self.site, lambda share, text: None)
        while stage := waiting.next_ready():
            notify(Started(stage))
            seconds = do_stage(stage, place)
            waiting.finished(stage)
            notify(Done(stage, seconds))


def draw_here(path, _plugins, planned, progress):
    """Draw a report's figures one after another."""
    del progress
    return [save_drawing(drawing, path / "figures") for drawing in planned]


class Typist:
    """Types commands of benchbox in a folder, and reads what they print."""

    def __init__(self, monkeypatch, capsys, folder: Path) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys
        monkeypatch.chdir(folder)
        monkeypatch.setattr(choosing, "LocalProcesses", OneAfterAnother)
        monkeypatch.setattr(draw_all, "_in_processes", draw_here)
        monkeypatch.setenv("COLUMNS", "200")
        torch.set_num_threads(1)

    def __call__(self, *words: str) -> str:
        self._monkeypatch.setattr(sys, "argv", ["benchbox", *words])
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main()
        out, err = self._capsys.readouterr()
        assert not stopped.value.code, (words, out, err)
        return out
