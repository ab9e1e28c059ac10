"""What is killed at random moments comes out as if nothing had been; `tests.kills` has the rest."""

import hashlib
import json
from pathlib import Path

import pytest

from tests.kills import Line, artefacts, kill, require_once, undisturbed, write_grid


@pytest.mark.slow
def test_a_worker_and_the_driver_are_killed_and_nothing_is_lost_or_done_twice(tmp_path) -> None:
    grid = write_grid(tmp_path, ["origin"])
    expected = undisturbed(grid, tmp_path / "undisturbed")
    runs = kill("local", 2, grid=grid, expected=expected, folder=tmp_path, seed=0)
    assert sorted(victim for run in runs for victim in run.kills) == ["driver", "worker"]


def line(what: str, key: str, pid: int) -> Line:
    return Line(what, key, pid, "1")


def test_a_stage_that_was_done_twice_would_be_noticed() -> None:
    once = [line("began", "a", 1), line("began", "a", 2), line("finished", "a", 2)]
    require_once(once)
    with pytest.raises(AssertionError, match="was finished"):
        require_once([*once, line("began", "a", 3)])
    with pytest.raises(AssertionError, match="another process"):
        require_once([line("began", "a", 1), line("began", "a", 2), line("finished", "a", 1)])


def test_an_artefact_of_which_half_is_missing_would_be_noticed(tmp_path: Path) -> None:
    folder = tmp_path / "rank-1"
    folder.mkdir()
    (folder / "ap.txt").write_text("whole")
    digest = hashlib.sha256(b"whole").hexdigest()
    listing = {"files": {"ap.txt": {"size": 5, "sha256": digest}}}
    (folder / "stage.json").write_text(json.dumps(listing))
    assert artefacts(tmp_path) == {"rank-1": {"ap.txt": digest}}
    (folder / "ap.txt").write_text("who")
    with pytest.raises(AssertionError):
        artefacts(tmp_path)
