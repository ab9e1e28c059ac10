"""Faults of the file system: only a write that failed is called one; others name their file."""

import errno
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from benchbox.errors import BenchboxError
from benchbox.files.atomic import atomic_path, cannot_write, write_text
from benchbox.files.faults import file_fault
from benchbox.runs.stages.base import Stage
from benchbox.runs.worker import do_stage
from benchbox.runs.workplace import Site, Workplace


def os_error(number: int, file: str | None = None) -> OSError:
    return OSError(number, os.strerror(number), file)


@dataclass(frozen=True)
class Failing(Stage):
    """A stage that meets a fault of the file system."""

    kind: ClassVar[str] = "rank"
    code: ClassVar[tuple[str, ...]] = ()

    number: int
    file: str | None = None

    title = "rank something"
    needs = ()
    cost = 1.0

    def settings(self) -> dict[str, Any]:
        return {"number": self.number}

    def work(self, place: Workplace, folder: Path) -> None:
        raise os_error(self.number, self.file)


@pytest.mark.parametrize(
    ("number", "file", "says"),
    [
        (errno.ENOENT, "/data/a.png", "/data/a.png: No such file or directory. .*put it back"),
        (errno.EACCES, "/data/a.png", "/data/a.png: Permission denied. Change its permissions"),
        (errno.ETIMEDOUT, "/data/a.png", "/data/a.png: Connection timed out. .*can be reached"),
        (errno.EIO, "/data/a.png", "/data/a.png: Input/output error"),
        (errno.EIO, None, "rank something: Input/output error"),
    ],
)
def test_a_fault_that_is_no_failed_write_names_the_file(tmp_path, number, file, says) -> None:
    place = Workplace(Site(tmp_path, {}, "cpu", 1))
    with pytest.raises(BenchboxError, match=rf"^rank something: .*{says}" if file else says) as got:
        do_stage(Failing(number, file), place)
    assert "cannot be written" not in str(got.value)
    assert "space" not in str(got.value)
    assert not list(tmp_path.glob("partial/*"))
    assert not list(tmp_path.glob("rank-*"))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_a_failed_write_and_asks_for_space(tmp_path, number) -> None:
    place = Workplace(Site(tmp_path, {}, "cpu", 1))
    with pytest.raises(BenchboxError, match=r"cannot be written .*Free some space"):
        do_stage(Failing(number, "/out/file"), place)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.EFBIG, errno.ENOTDIR])
def test_a_write_that_failed_for_another_reason_asks_for_no_space(number) -> None:
    said = str(cannot_write(Path("/out/file"), os_error(number)))
    assert "/out/file: cannot be written" in said
    assert "space" not in said


def test_reading_something_else_while_writing_is_no_failed_write(tmp_path) -> None:
    with (
        pytest.raises(FileNotFoundError),
        atomic_path(tmp_path / "out.txt") as temporary,
    ):
        temporary.write_bytes((tmp_path / "not there").read_bytes())
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "in the way").write_text("")
    with pytest.raises(BenchboxError, match="cannot be written"):
        write_text(tmp_path / "in the way" / "out.txt", "text")


def test_a_fault_without_words_is_still_a_sentence() -> None:
    assert str(file_fault(TimeoutError(), doing="loading")).startswith("loading: TimeoutError. ")
    odd = file_fault(OSError(errno.ENOENT, "No\nfile", "a\nb"), doing="loading")
    assert str(odd).startswith(r"loading: a\nb: No\nfile. ")


def test_no_epochs_are_the_starting_weights(tmp_path) -> None:
    """``epochs = 0`` goes through the whole run, and the model is the one that was built."""
    from rich.console import Console
    from safetensors.torch import load_file

    from benchbox.models.registry import build_model
    from benchbox.runs.options import Options
    from benchbox.runs.runner import run_grid
    from tests.micro import make_micro_dataset, write_micro_grid

    grid = write_micro_grid(tmp_path / "g.toml", make_micro_dataset(tmp_path / "micro"), epochs=0)
    text = grid.read_text().replace('["origin", "bs_ms", "adv_train"]', '["origin"]')
    grid.write_text(text.replace('["fna", "sma"]', '["fna"]').replace("steps = 10", "steps = 1"))
    out = tmp_path / "out"
    outcome = run_grid(grid, out, Options(workers=1), Console(quiet=True))
    assert (outcome.cells, outcome.failures) == (3, [])
    (trained,) = out.glob("store/train-*")
    assert (trained / "log.jsonl").read_text() == ""
    assert json.loads((trained / "recipe.json").read_text())["recipe"]["training"]["epochs"] == 0
    start = build_model("small", num_classes=8, pretrained=False, image_size=(32, 16), seed=0)
    weights = load_file(trained / "weights.safetensors")
    assert weights
    for name, tensor in start.state_dict().items():
        assert weights[name].equal(tensor), name
