"""Kills what works on a grid, at random moments, until it is done; then asks what came of it.

    python -m tests.kills --kills 20 --seed 0

runs a micro grid under each executor, on two Ray nodes and submitit's local engine too, kills a
worker, a node or the driver by SIGKILL and starts the driver again, as often as asked for. In the
end the numbers must be those of an undisturbed run to the last digit, every artefact must be there
with the same weights and embeddings, and none may have been made twice. A node of this machine
alone, or of submitit's engine, is the driver with all that works for it.
"""

import argparse
import csv
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from rich.console import Console

from benchbox.errors import BenchboxError
from benchbox.runs.executors.slurm import SlurmJobs
from benchbox.runs.options import Options
from benchbox.runs.runner import run_grid
from tests.clusters import NODE, cluster_of
from tests.micro import make_micro_dataset, write_micro_grid
from tests.plugins.journal import start_of

EXECUTORS = ("local", "ray", "slurm")
VICTIMS = ("worker", "driver", "node")
JOURNAL = Path(__file__).parent / "plugins" / "journal.py"
GAVE_UP = 3
"""Exit code of a driver that lost a stage's worker too often and wants to be started again."""
MOST_STARTS = 30
LINES = 8
"""A kill comes up to so many lines of the journal after the one before it."""


def write_grid(folder: Path, defenses: list[str]) -> Path:
    grid = write_micro_grid(folder / "grid.toml", make_micro_dataset(folder / "micro"))
    text = grid.read_text().replace('["origin", "bs_ms", "adv_train"]', json.dumps(defenses))
    text = text.replace('["fna", "sma"]', '["fna"]').replace('["8/255", "10/255"]', '["8/255"]')
    grid.write_text(text if "adv_train" in defenses else text.split("[recipe.adv_train]")[0])
    return grid


def drive(executor: str, grid: Path, out: Path, address: str) -> int:
    """Run the grid in this process: what is killed as the driver."""
    options = Options(
        executor=executor,
        ray_address=address,
        device="cpu",
        workers=2,
        batch_size=2,
        shard_queries=4,
        shard_images=12,
        builders=(JOURNAL,),
    )
    engine = partial(SlurmJobs, cluster="local", look_every=0.1)
    with mock.patch("benchbox.runs.executors.choosing.SlurmJobs", engine):
        try:
            failures = run_grid(grid, out, options, Console(quiet=True)).failures
        except BenchboxError as error:
            print(error, file=sys.stderr)
            return GAVE_UP if " died " in str(error) else 1
    print(*failures, sep="\n", file=sys.stderr)
    return 1 if failures else 0


@dataclass(frozen=True)
class Line:
    """A line of the journal."""

    what: str
    key: str
    pid: int
    start: str

    @property
    def alive(self) -> bool:
        return start_of(self.pid) == self.start


def journal_of(out: Path) -> list[Line]:
    file = out / "journal"
    lines = file.read_text().splitlines() if file.exists() else []
    parts = [line.split() for line in lines]
    return [Line(what, key, int(pid), start) for what, key, pid, start in parts]


def artefacts(store: Path) -> dict[str, dict[str, str]]:
    """Return folder → file → SHA-256 of all that the store calls finished, read from the disk.

    A half-written artefact that would be believed is an error: its listing is there, but a file
    that it lists is not, or has another digest.
    """
    found = {}
    for listing in sorted(store.glob("*-*/stage.json")):
        whole = json.loads(listing.read_text())
        digests = {}
        for name, entry in whole["files"].items():
            content = (listing.parent / name).read_bytes()
            digests[name] = hashlib.sha256(content).hexdigest()
            assert (len(content), digests[name]) == (entry["size"], entry["sha256"]), listing
        found[listing.parent.name] = digests
    return found


def numbers(out: Path) -> list[dict[str, str]]:
    """Return the cells as they are written, without what says how long they took."""
    with (out / "results.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    return [{k: v for k, v in row.items() if "seconds" not in k} for row in rows]


@dataclass
class Killing:
    """One grid under one executor, killed now and then.

    Attributes:
        executor: who does it.
        grid: what.
        out: the run's folder.
        draw: of victims and moments.
        cluster: of Ray; None for others.
        victims: whom to kill, in turn; the run ends undisturbed when there are no more.
        starts: how often the driver was started.
        gave_up: how often it ended by itself since a stage had lost too many workers.
        kills: whom it hit.
        complete: inode of each artefact's listing that was seen complete.
    """

    executor: str
    grid: Path
    out: Path
    draw: random.Random
    cluster: Any
    victims: list[str]
    starts: int = 0
    gave_up: int = 0
    kills: list[str] = field(default_factory=list)
    complete: dict[str, int] = field(default_factory=dict)

    def run(self) -> None:
        process = self._start()
        while True:
            due = len(journal_of(self.out)) + self.draw.randrange(LINES)
            later = self.draw.uniform(0, 0.5)
            if self.victims and self._reached(due, process):
                time.sleep(later)
                self._kill(self.victims[0], process)
                self._look()
            elif (code := process.wait()) == 0:
                return
            else:
                assert code == GAVE_UP, (self.out / "log").read_text()[-2000:]
                self.gave_up += 1
            if process.poll() is not None:
                process = self._start()

    def _start(self) -> "subprocess.Popen[bytes]":
        self.starts += 1
        assert self.starts <= MOST_STARTS
        address = self.cluster.address if self.cluster else ""
        order = ["--drive", self.executor, str(self.grid), str(self.out), address]
        self.out.mkdir(exist_ok=True)
        with (self.out / "log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "tests.kills", *order],
                stdout=log,
                stderr=log,
                cwd=Path(__file__).parents[1],
            )

    def _reached(self, lines: int, process: "subprocess.Popen[bytes]") -> bool:
        """Wait until the journal has so many lines and somebody works; False if the run ended."""
        while process.poll() is None:
            journal = journal_of(self.out)
            if len(journal) >= lines and self._busy(journal):
                return True
            time.sleep(0.02)
        return False

    def _busy(self, journal: list[Line]) -> list[Line]:
        finished = {(line.key, line.pid) for line in journal if line.what == "finished"}
        begun = [line for line in journal if line.what == "began" and line.alive]
        return [line for line in begun if (line.key, line.pid) not in finished]

    def _kill(self, victim: str, process: "subprocess.Popen[bytes]") -> None:
        journal = journal_of(self.out)
        busy = self._busy(journal)
        if victim == "worker":
            if not busy:
                return  # it has just finished; another moment will do
            os.kill(self.draw.choice(busy).pid, signal.SIGKILL)
        elif victim == "node" and self.cluster:
            node = next(iter(self.cluster.worker_nodes))
            self.cluster.remove_node(node, allow_graceful=False)
            self.cluster.add_node(**NODE)
        else:
            process.kill()
            process.wait()
            if victim == "node":
                for line in {line.pid: line for line in journal if line.alive}.values():
                    os.kill(line.pid, signal.SIGKILL)
        done = sum(line.what == "finished" for line in journal)
        print(
            f"{self.executor}: {victim} killed, {done} stages done, {len(busy)} begun", flush=True
        )
        self.kills.append(self.victims.pop(0))

    def _look(self) -> None:
        """What was complete once is so still, and is the same one."""
        store = self.out / "store"
        for name, inode in self.complete.items():
            listing = store / name / "stage.json"
            joined = name.startswith("shard-") and not listing.exists()
            assert joined or listing.stat().st_ino == inode, f"{name} was made twice or lost"
        for listing in store.glob("*-*/stage.json"):
            self.complete[listing.parent.name] = listing.stat().st_ino

    def verify(self, expected: Path) -> None:
        """Compare with an undisturbed run: nothing lost, nothing twice, nothing half."""
        self._look()
        assert numbers(self.out) == numbers(expected)
        assert (self.out / "per_id.csv").read_bytes() == (expected / "per_id.csv").read_bytes()
        ours, theirs = artefacts(self.out / "store"), artefacts(expected / "store")
        left = {name for name in ours.keys() - theirs.keys() if not name.startswith("shard-")}
        assert not left
        assert not theirs.keys() - ours.keys()
        for name, files in theirs.items():
            tensors = {f: digest for f, digest in files.items() if f.endswith(".safetensors")}
            assert tensors.items() <= ours[name].items(), f"{name} differs"
        assert not list((self.out / "store" / "partial").iterdir())
        require_once(journal_of(self.out))


def require_once(journal: list[Line]) -> None:
    """Check that who finished a stage was the last to begin it, and that nobody began it again."""
    at_it: dict[str, Line] = {}
    finished: set[str] = set()
    for line in journal:
        assert line.key not in finished, f"{line} of a stage that was finished"
        if line.what == "began":
            at_it[line.key] = line
        else:
            assert at_it[line.key].pid == line.pid, f"{line}: another process was at it too"
            finished.add(line.key)


def undisturbed(grid: Path, out: Path) -> Path:
    """Run the grid in one piece on one worker."""
    options = Options(device="cpu", workers=1, batch_size=2)
    assert run_grid(grid, out, options, Console(quiet=True)).failures == []
    return out


@contextmanager
def nodes_for(executor: str) -> Iterator[Any]:
    """Yield two Ray nodes where the executor is Ray's."""
    with cluster_of(2) if executor == "ray" else nullcontext() as cluster:
        yield cluster


def kill(
    executor: str, kills: int, *, grid: Path, expected: Path, folder: Path, seed: int
) -> list[Killing]:
    """Run the grid under an executor, again and again, until so many were killed.

    Raises:
        AssertionError: something was lost, done twice or believed that was half written.
    """
    draw = random.Random(f"{executor} {seed}")
    victims = [VICTIMS[place % len(VICTIMS)] for place in range(kills)]
    draw.shuffle(victims)
    runs: list[Killing] = []
    with nodes_for(executor) as cluster:
        while victims:
            out = folder / f"{executor}-{len(runs)}"
            runs.append(Killing(executor, grid, out, draw, cluster, victims))
            runs[-1].run()
            runs[-1].verify(expected)
    return runs


def summary(runs: Mapping[str, list[Killing]]) -> str:
    """Return a line for each executor."""
    lines = []
    for executor, own in runs.items():
        whom = Counter(victim for one in own for victim in one.kills)
        named = ", ".join(f"{count} {victim}" for victim, count in whom.items())
        starts, gave_up = sum(one.starts for one in own), sum(one.gave_up for one in own)
        what = Counter(line.what for one in own for line in journal_of(one.out))
        lines.append(
            f"{executor}: {whom.total()} kills ({named}) in {len(own)} runs; driver started "
            f"{starts} times, gave up {gave_up} times; {what['began']} stages begun, "
            f"{what['finished']} finished, none twice; numbers and artefacts as undisturbed"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=20, help="over all executors")
    parser.add_argument("--seed", type=int, default=0, help="of victims and moments")
    parser.add_argument("--executors", nargs="+", default=EXECUTORS, choices=EXECUTORS)
    parser.add_argument("--drive", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.drive:
        executor, grid, out, address = given.drive
        sys.exit(drive(executor, Path(grid), Path(out), address))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        grid = write_grid(folder, ["origin", "adv_train"])
        expected = undisturbed(grid, folder / "undisturbed")
        count = len(given.executors)
        shares = [(given.kills + place) // count for place in range(count)]
        done = {
            executor: kill(
                executor, share, grid=grid, expected=expected, folder=folder, seed=given.seed
            )
            for executor, share in zip(given.executors, shares, strict=True)
        }
        print(summary(done))


if __name__ == "__main__":
    main()
