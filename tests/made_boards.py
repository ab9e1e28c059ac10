"""A micro run of two datasets, submitted to a board of its own; made once for all tests."""

import atexit
import functools
import json
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from benchbox.leaderboard.entry.files import seal
from benchbox.leaderboard.sanity.result import CheckResult
from benchbox.leaderboard.submitting.check_groups import check_groups
from benchbox.leaderboard.submitting.prepare import SubmitOptions, prepare
from benchbox.leaderboard.submitting.submit import Checks, submit
from benchbox.results.measurements import Group
from benchbox.runs.options import Options
from benchbox.runs.runner import run_grid
from tests.micro import make_micro_dataset

SAME = Group("small", "market1501", "market1501")
TRANSFER = Group("small", "market1501", "dukemtmcreid")
NAME = "market1501--market1501--small--bs_ms--v1.json"

GRID = """
name = "micro"
datasets = ["market1501"]
transfers = [["market1501", "dukemtmcreid"]]
backbones = ["small"]
pretrained = false
image_size = [32, 16]
defenses = ["origin", "bs_ms", "adv_train"]
attacks = ["fna", "sma"]
budgets = ["8/255", "10/255"]
steps = 6
seeds = [0, 1]
[training]
epochs = 1
batch_identities = 4
batch_images = 4
lr = 1e-3
schedule = "one_cycle"
augmentation = { pad = 1, erasing = 0.0 }
[defended]
start = "vanilla"
steps = 1
"""

PROTOCOL = """
schema = 1
board = "micro"
version = 1
title = "Micro"
backbones = ["small"]
image_size = [32, 16]
attacks = ["fna", "sma"]
budgets = ["8/255", "10/255"]
steps = 6
step_size = "1/255"
ap = "trapezoid"
seeds = [0, 1]
required_checks = ["gradients", "bpda"]
rerun_tolerance = 0.5
[[datasets]]
name = "market1501"
digest = "{market1501}"
[[datasets]]
name = "dukemtmcreid"
digest = "{dukemtmcreid}"
required = false
"""

PASSED = (
    CheckResult(name="gradients", outcome="pass", says="None is zero.", numbers={"least": 0.5}),
    CheckResult(name="bpda", outcome="pass", says="It finds no more.", numbers={"map": 4.0}),
)
CHECKS: Checks = {SAME: PASSED, TRANSFER: PASSED}


@functools.cache
def made_run() -> Path:
    """Return a folder with ``data``, the run ``out`` and an empty board ``boards/micro``."""
    root = Path(tempfile.mkdtemp(prefix="made-board-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    market = make_micro_dataset(root / "data" / "Market-1501-v15.09.15", test=12)
    duke = root / "data" / "DukeMTMC-reID"
    for file in sorted(market.rglob("*.png")):
        pid, camera, frame = re.fullmatch(r"(\d+)_c(\d)s1_(\d+)_01\.png", file.name).groups()
        copy = duke / file.parent.name / f"{pid}_c{camera}_f{int(frame):07d}.png"
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy)
    grid = root / "micro.toml"
    grid.write_text(GRID)
    run_grid(grid, root / "out", Options(workers=1, data_root=root / "data"), Console(quiet=True))
    digests = {k: v["digest"] for k, v in run_record(root)["datasets"].items()}
    board = root / "boards" / "micro"
    board.mkdir(parents=True)
    (board / "protocol.toml").write_text(PROTOCOL.format(**digests))
    return root


@functools.cache
def submitted() -> Path:
    """Return the made run's folder with the entries of BS+MS on its board."""
    submit(prepare(options(made_run())), checks=CHECKS)
    return made_run()


def options(root: Path, **changes: Any) -> SubmitOptions:
    """Return how BS+MS is submitted."""
    said: dict[str, Any] = {
        "run": root / "out",
        "defense": "bs_ms",
        "board": root / "boards" / "micro",
        "paper": "https://example.org/paper",
        "authors": "Zoë Ångström and Łukasz Nguyễn",
    }
    return SubmitOptions(**{**said, **changes})


def run_record(root: Path) -> dict[str, Any]:
    """Return the run's record."""
    record: dict[str, Any] = json.loads((root / "out" / "run.json").read_text())
    return record


def weights_of(root: Path) -> dict[int, Path]:
    """Return seed → weights file of BS+MS."""
    content = json.loads((root / "boards" / "micro" / NAME).read_text())
    cells = run_record(root)["cells"]
    keys = {m["seed"]: cells[m["cell"]]["stages"]["train"] for m in content["results"][0]["seeds"]}
    store = root / "out" / "store"
    return {seed: store / f"train-{k[:20]}" / "weights.safetensors" for seed, k in keys.items()}


@functools.cache
def checked() -> Path:
    """Return a board with the entries of BS+MS whose sanity checks were made."""
    root = made_run()
    board = root / "checked" / "micro"
    board.mkdir(parents=True)
    shutil.copy(root / "boards" / "micro" / "protocol.toml", board)
    given = options(root, board=board)
    ready = prepare(given)
    found = check_groups(
        ready.artefacts, ready.registry, ready.protocol, ready.groups, given.defense, device="cpu"
    )
    submit(ready, checks=found)
    return board


def changed_board(
    tmp_path: Path,
    change: Callable[[dict[str, Any]], None],
    *,
    reseal: bool = True,
    board: Path | None = None,
) -> Path:
    """Return an entry of a copied board after a change, with its digest made right again.

    Args:
        tmp_path: to copy into.
        change: of the entry's content.
        reseal: make the digest right again.
        board: to copy; None for the one of `submitted`.
    """
    source, board = board or submitted() / "boards" / "micro", tmp_path / "boards" / "micro"
    shutil.copytree(source, board)
    content = json.loads((board / NAME).read_text())
    change(content)
    if reseal:
        content["digest"] = seal(content)
    (board / NAME).write_text(json.dumps(content))
    return board / NAME


def files_below(folder: Path) -> dict[str, bytes]:
    """Return every file's content, to see that nothing was written."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
