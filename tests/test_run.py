"""Whole runs on a micro dataset: resuming, sharing, corruption, failures, two at once."""

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from statistics import fmean

import pytest

from tests.micro import make_micro_dataset, write_micro_grid

COLUMNS = (
    "train_dataset,test_dataset,backbone,defense,attack,eps_255,steps,step_size_255,seed,mAP,minp,"
    "rank1,rank5,rank10,rank20,ranking,ap_convention,queries,gallery,seconds,cell"
)


def benchbox(*words: object, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchbox", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "results.csv").open() as stream:
        return list(csv.DictReader(stream))


def numbers(out: Path) -> list[dict[str, str]]:
    """Every column but the wall time."""
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows(out)]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    return make_micro_dataset(tmp_path_factory.mktemp("data") / "micro")


@pytest.fixture(scope="module")
def grid(dataset, tmp_path_factory) -> Path:
    return write_micro_grid(tmp_path_factory.mktemp("grid") / "micro.toml", dataset)


@pytest.fixture(scope="module")
def finished(grid, tmp_path_factory) -> Path:
    """One uninterrupted run, which tests may read and copy."""
    out = tmp_path_factory.mktemp("run") / "out"
    done = benchbox("run", grid, "--out", out)
    assert done.returncode == 0, done.stderr
    return out


def test_a_run_writes_what_the_contract_says(finished: Path) -> None:
    header = (finished / "results.csv").read_text().splitlines()[0]
    assert header == COLUMNS
    table = rows(finished)
    assert len(table) == 3 * (1 + 2 * 2)
    assert [row["defense"] for row in table[::5]] == ["origin", "bs_ms", "adv_train"]
    assert [row["attack"] for row in table[:5]] == ["none", "fna", "fna", "sma", "sma"]
    assert [row["eps_255"] for row in table[:5]] == ["0.0", "8.0", "10.0", "8.0", "10.0"]
    for name in ("run.json", "report.html", "per_id.csv", "tables/white_box.md"):
        assert (finished / name).stat().st_size > 0
    record = json.loads((finished / "run.json").read_text())
    assert record["failures"] == []
    assert set(record["cells"]) == {row["cell"] for row in table}


def test_runs_may_share_a_store(grid, finished, tmp_path) -> None:
    done = benchbox("run", grid, "--out", tmp_path / "out", "--store", finished / "store")
    assert done.returncode == 0, done.stderr
    stages = len(list((finished / "store").glob("*/stage.json")))
    assert f"{stages} of them in the store already" in done.stdout
    assert rows(tmp_path / "out") == rows(finished)
    assert not (tmp_path / "out" / "store").exists()
    for run in (tmp_path / "out", finished):
        assert (run / json.loads((run / "run.json").read_text())["store"]).samefile(
            finished / "store"
        )


def test_per_id_averages_to_the_map_of_its_cell(finished: Path) -> None:
    weighted = defaultdict(list)
    with (finished / "per_id.csv").open() as stream:
        for row in csv.DictReader(stream):
            weighted[row["cell"]] += [float(row["ap"])] * int(row["queries"])
    for row in rows(finished):
        aps = weighted[row["cell"]]
        assert len(aps) == int(row["queries"])
        assert 100 * fmean(aps) == pytest.approx(float(row["mAP"]), abs=1e-9)


def test_a_second_run_does_nothing_and_says_so(grid, finished) -> None:
    before = (finished / "results.csv").read_bytes()
    again = benchbox("run", grid, "--out", finished)
    assert again.returncode == 0, again.stderr
    assert "26 stages, 26 of them in the store already" in again.stdout
    assert (finished / "results.csv").read_bytes() == before


def test_the_number_of_workers_does_not_matter(grid, finished, tmp_path) -> None:
    done = benchbox("run", grid, "--out", tmp_path, "--workers", "1")
    assert done.returncode == 0, done.stderr
    assert numbers(tmp_path) == numbers(finished)


def test_a_damaged_artefact_is_rebuilt_with_the_same_numbers(grid, dataset, tmp_path) -> None:
    assert benchbox("run", grid, "--out", tmp_path).returncode == 0
    before = numbers(tmp_path)
    weights = next(tmp_path.glob("store/train-*/weights.safetensors"))
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 0xFF
    weights.write_bytes(content)
    features = next(tmp_path.glob("store/attack-*/features.safetensors"))
    features.write_bytes(features.read_bytes()[:-9])
    done = benchbox("run", grid, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "26 stages, 24 of them in the store already" in done.stdout
    assert numbers(tmp_path) == before


@pytest.mark.slow
def test_a_run_killed_at_any_moment_ends_with_the_same_numbers(grid, finished, tmp_path) -> None:
    moments = random.Random(7)
    kills = 0
    for _ in range(12):
        process = subprocess.Popen(
            [sys.executable, "-m", "benchbox", "run", str(grid), "--out", str(tmp_path)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            process.wait(timeout=moments.uniform(4, 14))
            break
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
    assert kills >= 1
    done = benchbox("run", grid, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert numbers(tmp_path) == numbers(finished)
    assert (tmp_path / "per_id.csv").read_bytes() == (finished / "per_id.csv").read_bytes()


def test_no_worker_outlives_a_killed_run(grid, tmp_path) -> None:
    import psutil

    process = subprocess.Popen(
        [sys.executable, "-m", "benchbox", "run", str(grid), "--out", str(tmp_path)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    workers: list[psutil.Process] = []
    while len(workers) < 2 and process.poll() is None:
        time.sleep(0.1)
        workers = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert not alive


def test_a_disk_that_takes_no_more_is_one_line_and_the_run_goes_on_later(
    grid, finished, tmp_path
) -> None:
    import resource

    def no_file_over_a_megabyte() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))

    command = [sys.executable, "-m", "benchbox", "run", str(grid), "--out", str(tmp_path)]
    full = subprocess.run(
        command, capture_output=True, text=True, check=False, preexec_fn=no_file_over_a_megabyte
    )
    assert full.returncode == 2
    assert "cannot be written (File too large)" in full.stderr
    assert "Traceback" not in full.stdout + full.stderr
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    assert numbers(tmp_path) == numbers(finished)


def test_a_worker_that_dies_is_replaced(grid, finished, tmp_path) -> None:
    import psutil

    process = subprocess.Popen(
        [sys.executable, "-m", "benchbox", "run", str(grid), "--out", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    while not list((tmp_path / "store").glob("scratch/train-*")):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    for child in psutil.Process(process.pid).children():
        # The helper that cleans up after multiprocessing is a child too; workers are spawned.
        if "spawn_main" in " ".join(child.cmdline()):
            child.kill()
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0, out
    assert numbers(tmp_path) == numbers(finished)


def test_two_runs_in_one_folder_are_refused(grid, tmp_path) -> None:
    from filelock import FileLock

    with FileLock(tmp_path / ".lock"):
        refused = benchbox("run", grid, "--out", tmp_path)
    assert refused.returncode == 2
    assert "another run is working in this folder" in refused.stderr
    assert "Traceback" not in refused.stderr


PLUGIN = '''
from dataclasses import dataclass
from typing import ClassVar

from benchbox.training.recipe import Recipe
from defenses import Defense, Vanilla


@dataclass(frozen=True, kw_only=True)
class Darker:
    """A guard that halves the light."""

    factor: float = 0.5

    def __call__(self, images):
        return images * self.factor


@dataclass(frozen=True, kw_only=True)
class Broken(Recipe):
    """A recipe with a bug."""

    name: ClassVar[str] = "broken"

    def losses(self, model, batch):
        raise ZeroDivisionError("a bug in a plugin")


DARKER = Defense(name="darker", title="Darker & dim", recipe=Vanilla(), guard=Darker(), source="t")
BROKEN = Defense(name="broken", title="Broken", recipe=Broken(), source="t")
'''


def test_a_plugin_adds_a_row_and_a_broken_one_takes_down_only_itself(
    dataset, finished, tmp_path
) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(PLUGIN)
    grid = write_micro_grid(tmp_path / "micro.toml", dataset)
    text = grid.read_text().replace('"bs_ms", ', '"broken", "darker", ')
    grid.write_text(text)
    out = tmp_path / "out"
    done = benchbox("run", grid, "--out", out, "--plugin", plugin)
    assert done.returncode == 2
    assert "a bug in a plugin" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert "Traceback" in (out / "store" / "errors.log").read_text()
    table = numbers(out)
    assert {row["defense"] for row in table} == {"origin", "darker", "adv_train"}
    same = [row for row in numbers(finished) if row["defense"] != "bs_ms"]
    assert [row for row in table if row["defense"] != "darker"] == same
    report = (out / "report.html").read_text()
    assert "Darker &amp; dim" in report


def test_the_plan_is_printed_and_nothing_is_done(grid, tmp_path) -> None:
    out = tmp_path / "out"
    done = benchbox("run", grid, "--out", out, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "15 cells from 26 stages: 2 train, 3 embed, 15 rank, 6 attack" in done.stdout
    assert not out.exists()


def test_a_hidden_package_is_named(tmp_path) -> None:
    (tmp_path / "attacks").mkdir()
    (tmp_path / "attacks" / "__init__.py").write_text("raise SystemExit('ran a stranger')")
    done = subprocess.run(
        [sys.executable, "-m", "benchbox", "list"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        check=False,
    )
    assert done.returncode == 2
    assert "the package 'attacks' of benchbox is hidden by" in done.stderr
    assert "stranger" not in done.stderr + done.stdout


def test_an_installed_package_adds_a_defense(tmp_path) -> None:
    (tmp_path / "their_reid.py").write_text(PLUGIN)
    info = tmp_path / "their_reid-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-reid\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[benchbox.plugins]\ntheirs = their_reid\n")

    def names() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "benchbox", "list"],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            check=False,
        )

    done = names()
    assert done.returncode == 0, done.stderr
    assert "Darker & dim" in done.stdout
    (tmp_path / "their_reid.py").write_text("import no_such_module")
    done = names()
    assert done.returncode == 2
    assert "the installed plugin 'theirs' (their_reid) cannot be imported" in done.stderr
    assert "Traceback" not in done.stderr
