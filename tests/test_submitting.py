"""A whole submission with its sanity checks: what it reads, it reads once."""

import json
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from benchbox.cli import main as cli
from benchbox.errors import BenchboxError
from benchbox.leaderboard.submitting.prepare import prepare
from benchbox.leaderboard.verifying.verify import verify
from benchbox.results import stored_weights
from tests.made_boards import made_run, options
from tests.test_leaderboard_untrusted import changed_run

_COUNTED: list[Counter[str]] = []
"""Where opened files are counted; an audit hook cannot be taken out again."""


def _count(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and _COUNTED and isinstance(arguments[0], str):
        _COUNTED[-1][arguments[0]] += 1


sys.addaudithook(_count)


@pytest.fixture
def opened() -> Iterator[Counter[str]]:
    """Count how often Python opens a file, by its path."""
    _COUNTED.append(Counter())
    yield _COUNTED[-1]
    _COUNTED.pop()


def test_a_submission_reads_the_run_and_loads_each_weights_file_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: Counter[str]
) -> None:
    torch.set_num_threads(1)
    root, board = made_run(), tmp_path / "boards" / "micro"
    board.mkdir(parents=True)
    shutil.copy(root / "boards" / "micro" / "protocol.toml", board)
    loaded: Counter[str] = Counter()
    load = stored_weights.load_weights

    def counted(model: torch.nn.Module, path: Path) -> dict[str, str]:
        loaded[str(path)] += 1
        return load(model, path)

    monkeypatch.setattr(stored_weights, "load_weights", counted)
    words = ["submit", root / "out", "--defense", "bs_ms", "--boards", board.parent]
    words += ["--board", "micro", "--device", "cpu"]
    monkeypatch.setattr("sys.argv", ["benchbox", *map(str, words)])
    opened.clear()
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0
    found = verify([board])
    assert (len(found.entries), found.problems) == (2, ())
    for name in ("run.json", "results.csv", "per_id.csv"):
        assert opened[str(root / "out" / name)] == 1, name
    # Two seeds of BS+MS, which two pairs of datasets share, and the checks' other model.
    assert len(loaded) == 3
    assert set(loaded.values()) == {1}
    # Opened by Python to be hashed; safetensors loads without it.
    assert {opened[path] for path in loaded} == {1}


def test_an_attack_stage_too_large_to_hash_is_refused(tmp_path: Path) -> None:
    out = changed_run(tmp_path)
    for listing in (out / "store").glob("attack-*/stage.json"):
        with (listing.parent / "big.bin").open("wb") as stream:
            stream.truncate(200 << 30)
        content = json.loads(listing.read_text())
        content["files"]["big.bin"] = {"size": 200 << 30, "sha256": "0" * 64}
        listing.write_text(json.dumps(content))
    with pytest.raises(BenchboxError, match="no undamaged attack stage"):
        prepare(options(made_run(), run=out, replace=True))


def test_a_model_near_chance_is_refused(tmp_path: Path) -> None:
    out = changed_run(tmp_path)
    record = json.loads((out / "run.json").read_text())
    for dataset in record["datasets"].values():
        dataset["chance"] = 99.0
    (out / "run.json").write_text(json.dumps(record))
    with pytest.raises(BenchboxError, match=r"is near that of a random ranking \(99\.00\)"):
        prepare(options(made_run(), run=out, replace=True))
