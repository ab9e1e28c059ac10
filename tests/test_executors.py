"""Clusters do a run as this machine does: the same numbers, whatever dies on the way."""

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import pytest
from rich.console import Console

from benchbox.errors import BenchboxError
from benchbox.runs.calibration import Calibration, Provenance, Rates
from benchbox.runs.cost import Cost
from benchbox.runs.executors.choosing import Order, make_executor
from benchbox.runs.executors.events import Done, Failed, LeftOut, Noticed
from benchbox.runs.executors.ray import RayCluster
from benchbox.runs.executors.slurm import SlurmJobs
from benchbox.runs.options import Options
from benchbox.runs.runner import run_grid
from benchbox.runs.slurm_settings import SlurmSettings
from benchbox.runs.stages.base import Stage
from benchbox.runs.store import Store
from benchbox.runs.workplace import Site, Workplace
from tests.clusters import NODE, cluster_of
from tests.micro import make_micro_dataset, write_micro_grid

ray = pytest.importorskip("ray")
submitit = pytest.importorskip("submitit")


@dataclass(frozen=True)
class Noted(Stage):
    """Writes a line each time it is done; may fail, or take its process with it the first time."""

    kind: ClassVar[str] = "noted"
    code: ClassVar[tuple[str, ...]] = ()

    name: str
    notes: str
    after: tuple["Noted", ...] = ()
    fails: bool = False
    deadly: int = 0
    seconds: float = 0.0
    says: str = ""

    cost = Cost(trained=1.0)

    @property
    def title(self) -> str:
        return f"note {self.name}"

    @property
    def needs(self) -> tuple[Stage, ...]:
        return self.after

    def settings(self) -> dict[str, Any]:
        return {"name": self.name}

    def work(self, place: Workplace, folder: Path) -> None:
        notes = Path(self.notes)
        with (notes / f"{self.name}.begun").open("a") as stream:
            stream.write("x")
        time.sleep(self.seconds)
        if len((notes / f"{self.name}.begun").read_text()) <= self.deadly:
            os._exit(9)
        if self.says:
            place.notice(self.says)
        if self.fails:
            raise BenchboxError(f"{self.name} cannot be noted")
        for need in self.after:
            assert place.store.manifest(need.kind, need.key) is not None
        (folder / "note.txt").write_text(self.name)
        with (notes / f"{self.name}.done").open("a") as stream:
            stream.write("x")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head and one more node, a core each, on this machine."""
    with cluster_of(2) as made:
        ray.init(address=made.address, log_to_driver=False, logging_level="error")
        yield made
        ray.shutdown()


@pytest.fixture(params=["ray", "submitit's local engine"])
def engine(request, tmp_path) -> Any:
    """Either engine over an empty store."""
    site = Site(tmp_path / "store", {}, "cpu", 1)
    if request.param == "ray":
        request.getfixturevalue("cluster")
        return RayCluster(site)
    return SlurmJobs(site, SlurmSettings(minutes=5), cluster="local", look_every=0.1)


def test_needs_come_first_and_a_failure_takes_down_only_what_needs_it(engine, tmp_path) -> None:
    notes = str(tmp_path)
    first = Noted("first", notes)
    bad = Noted("bad", notes, after=(first,), fails=True)
    lost = Noted("lost", notes, after=(bad,))
    good = Noted("good", notes, after=(first,), says="it goes on")
    events: list[Any] = []
    engine.execute([first, bad, lost, good], events.append)
    done = [event.stage.name for event in events if isinstance(event, Done)]
    assert sorted(done) == ["first", "good"]
    assert done[0] == "first"
    assert [e.error for e in events if isinstance(e, Failed)] == ["bad cannot be noted"]
    assert [e.stage.name for e in events if isinstance(e, LeftOut)] == ["lost"]
    assert not (tmp_path / "lost.begun").exists()
    assert [(e.stage, e.text) for e in events if isinstance(e, Noticed)] == [(good, "it goes on")]


def test_a_stage_whose_worker_is_killed_is_given_out_again(engine, tmp_path) -> None:
    stage = Noted("shaky", str(tmp_path), deadly=1)
    engine.execute([stage], lambda _event: None)
    assert (tmp_path / "shaky.begun").read_text() == "xx"
    assert (tmp_path / "shaky.done").read_text() == "x"
    assert Store(engine.site.store).manifest(stage.kind, stage.key) is not None


def test_a_stage_that_kills_every_worker_ends_the_run_in_one_line(engine, tmp_path) -> None:
    stage = Noted("deadly", str(tmp_path), deadly=99)
    with pytest.raises(BenchboxError, match=r"note deadly: its (worker|job) died 3 times"):
        engine.execute([stage], lambda _event: None)
    assert Store(engine.site.store).manifest(stage.kind, stage.key) is None
    assert not (tmp_path / "deadly.done").exists()


def test_two_runs_over_one_store_do_a_stage_once(engine, tmp_path) -> None:
    stages = [Noted(f"s{i}", str(tmp_path), seconds=0.2) for i in range(2)]
    other = threading.Thread(target=engine.execute, args=(stages, lambda _event: None))
    other.start()
    replace(engine).execute(stages, lambda _event: None)
    other.join()
    assert [(tmp_path / f"s{i}.done").read_text() for i in range(2)] == ["x"] * 2


def test_a_watcher_started_again_takes_up_the_jobs_that_run(tmp_path) -> None:
    """The first watcher is stopped while its job runs; the second submits no other."""
    site = Site(tmp_path / "store", {}, "cpu", 1)
    slurm = SlurmJobs(site, SlurmSettings(minutes=5), cluster="local", look_every=0.1)
    stage = Noted("long", str(tmp_path), seconds=3.0)

    class Stopped(Exception):
        """What Ctrl-C is here."""

    def stop_when_it_runs(_seconds: float) -> None:
        while not (tmp_path / "long.begun").exists():
            time.sleep(0.05)
        raise Stopped

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("benchbox.runs.executors.slurm.sleep", stop_when_it_runs)
        with pytest.raises(Stopped):
            slurm.execute([stage], lambda _event: None)
    slurm.execute([stage], lambda _event: None)
    assert (tmp_path / "long.begun").read_text() == "x"
    assert (tmp_path / "long.done").read_text() == "x"


def test_time_limits_are_well_above_the_estimate_and_below_the_settings(tmp_path) -> None:
    known = Calibration(
        provenance=Provenance(
            machine="n", device="cpu", threads=1, clock="process", versions={}, commit=None
        ),
        measured="2026-11-27",
        pairs=1.0,
        networks={"net": Rates(trained=1.0, ascended=1.0, embedded=1.0, load_seconds=0.0)},
    )
    jobs = SlurmJobs(Site(tmp_path, {}, "cpu", 1), SlurmSettings(minutes=100), known)
    stages = [Noted(name, "") for name in "ab"]
    for seconds, minutes in ((60, 13), (600, 40), (60_000, 100)):
        costs = [Cost(network="net", embedded=1), Cost(network="net", embedded=seconds)]
        for stage, cost in zip(stages, costs, strict=True):
            object.__setattr__(stage, "cost", cost)
        assert jobs.minutes(stages) == minutes
    object.__setattr__(stages[0], "cost", Cost(network="another"))
    assert jobs.minutes(stages) == 100


SBATCH = """#!/bin/sh
echo "sbatch: error: invalid partition specified: nowhere" >&2
echo "sbatch: error: Batch job submission failed: Invalid partition name specified" >&2
exit 1
"""


def test_an_unknown_partition_is_one_line(tmp_path, monkeypatch) -> None:
    for name in ("sbatch", "srun", "sacct"):
        file = tmp_path / "bin" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(SBATCH)
        file.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    site = Site(tmp_path / "store", {}, "cpu", 1)
    executor = SlurmJobs(site, SlurmSettings(partition="nowhere"))
    with pytest.raises(BenchboxError) as got:
        executor.execute([Noted("any", str(tmp_path))], lambda _event: None)
    assert "\n" not in str(got.value)
    assert "invalid partition specified: nowhere" in str(got.value)
    assert "[slurm]" in str(got.value)


def test_unknown_executors_and_clusters_that_are_not_there_are_one_line(tmp_path) -> None:
    order = Order(site=Site(tmp_path, {}, "cpu", 1), options=Options(executor="rey"))
    with pytest.raises(BenchboxError, match=r"executor 'rey'.*Did you mean 'ray'"):
        make_executor(order)
    grid = write_micro_grid(tmp_path / "g.toml", make_micro_dataset(tmp_path / "micro"))
    with pytest.raises(BenchboxError, match="--device cpu or --device cuda"):
        run_grid(grid, tmp_path / "out", Options(executor="ray"), Console(quiet=True))


@pytest.fixture(scope="module")
def local_run(tmp_path_factory) -> tuple[Path, pd.DataFrame]:
    """A micro grid and what two processes of this machine make of it."""
    root = tmp_path_factory.mktemp("local")
    grid = write_micro_grid(root / "g.toml", make_micro_dataset(root / "micro"))
    text = grid.read_text().replace('["origin", "bs_ms", "adv_train"]', '["origin", "adv_train"]')
    grid.write_text(text.replace('["fna", "sma"]', '["fna"]'))
    outcome = run_grid(grid, root / "out", Options(workers=2), Console(quiet=True))
    assert outcome.failures == []
    return grid, numbers(root / "out")


def numbers(out: Path) -> pd.DataFrame:
    """Every cell's numbers, without what says when and how long."""
    table = pd.read_csv(out / "results.csv", float_precision="round_trip")
    return table.drop(columns=[c for c in table.columns if "seconds" in c or "finished" in c])


def test_submitit_runs_a_grid_to_the_same_numbers(local_run, tmp_path, monkeypatch) -> None:
    grid, expected = local_run
    monkeypatch.setattr(
        "benchbox.runs.executors.choosing.SlurmJobs",
        partial(SlurmJobs, cluster="local", look_every=0.1),
    )
    options = Options(executor="slurm", device="cpu", batch_size=2, shard_queries=4)
    outcome = run_grid(grid, tmp_path / "out", options, Console(quiet=True))
    assert outcome.failures == []
    pd.testing.assert_frame_equal(numbers(tmp_path / "out"), expected, check_exact=True)


def test_two_ray_nodes_run_a_grid_to_the_same_numbers_though_one_is_lost(
    local_run, cluster, tmp_path
) -> None:
    grid, expected = local_run
    node = cluster.add_node(**NODE)

    over = threading.Event()

    def lose_it() -> None:
        while not list((tmp_path / "out" / "store").glob("train-*")):
            if over.wait(0.1):
                return
        cluster.remove_node(node, allow_graceful=False)

    losing = threading.Thread(target=lose_it)
    losing.start()
    options = Options(executor="ray", device="cpu", batch_size=2, shard_queries=4)
    try:
        outcome = run_grid(grid, tmp_path / "out", options, Console(quiet=True))
    finally:
        over.set()
        losing.join()
    assert outcome.failures == []
    pd.testing.assert_frame_equal(numbers(tmp_path / "out"), expected, check_exact=True)
