"""A SLURM cluster does the stages: job arrays of one kind each, watched through submitit."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from math import ceil
from pathlib import Path
from time import sleep
from typing import Any

from benchbox.errors import BenchboxError
from benchbox.files.atomic import write_bytes, write_json
from benchbox.runs.calibration import Calibration
from benchbox.runs.estimating import seconds_of
from benchbox.runs.executors.events import Event, Started
from benchbox.runs.executors.parcel import MOST_DEATHS, do_packed, packed
from benchbox.runs.executors.waiting import Waiting
from benchbox.runs.slurm_settings import SlurmSettings
from benchbox.runs.stages import Stage
from benchbox.runs.worker import Ended
from benchbox.runs.workplace import Site

_MARGIN = 3
"""How many times as long as estimated a job may take."""
_SPARE = 10
"""Minutes beside that, for what does not grow with the work."""


@dataclass(frozen=True)
class SlurmJobs:
    """Stages as jobs of a SLURM cluster.

    All nodes see the store, the datasets and the plugins below the same paths. Jobs go on when the
    watching process is stopped; started again it finds them by ``slurm/jobs.json`` in the store. A
    job that is preempted or out of time queues itself again, and one that died is given out anew:
    either goes on from the stage's last checkpoint.

    Attributes:
        site: what all jobs share: store, datasets, device.
        settings: partition, account, time and the like: the grid's table ``[slurm]``.
        calibration: of the cluster's nodes, for time limits; None: all jobs get the settings'.
        cluster: submitit's name of the engine: ``slurm``, or ``local`` for processes here.
        look_every: seconds between two looks at the jobs.
    """

    site: Site
    settings: SlurmSettings
    calibration: Calibration | None = None
    cluster: str = "slurm"
    look_every: float = 5.0

    def execute(self, stages: Sequence[Stage], notify: Callable[[Event], None]) -> None:
        """Do all stages; see :class:`~benchbox.runs.executors.events.Executor`."""
        waiting = Waiting(stages)
        queue = _Queue(self)
        jobs: dict[str, tuple[Stage, Any]] = {}
        while waiting:
            ready: list[Stage] = []
            while (stage := waiting.next_ready()) is not None:
                ready.append(stage)
            for stage, job in queue.submit(ready):
                jobs[stage.key] = (stage, job)
                notify(Started(stage))
            queue.remember(jobs)
            if not jobs:
                return
            over = [key for key, (_, job) in jobs.items() if job.done()]
            for key in over:
                stage, job = jobs.pop(key)
                self._settle(stage, job, waiting, notify)
            if not over:
                sleep(self.look_every)
        queue.remember(jobs)

    def minutes(self, stages: Sequence[Stage]) -> int:
        """Return the time limit of some stages' jobs: at most that of the settings.

        A scheduler starts short jobs earlier. Where the nodes' speed is known the limit is well
        above what the longest of the stages should take: a job that is stopped has lost time.
        """
        most, known = self.settings.minutes, self.calibration
        if known is None or known.lacks(stage.cost for stage in stages):
            return most
        longest = max(seconds_of(stage, known) for stage in stages)
        return min(most, ceil(_MARGIN * longest / 60) + _SPARE)

    def _settle(
        self, stage: Stage, job: Any, waiting: Waiting, notify: Callable[[Event], None]
    ) -> None:
        """Take the result of a job that is over; give its stage out again if it was killed."""
        error = job.exception()
        if error is None:
            waiting.settle(stage, job.result(), notify)
        elif waiting.put_back(stage) >= MOST_DEATHS:
            raise BenchboxError(
                f"{stage.title}: its job died {MOST_DEATHS} times (last: {job.job_id}, "
                f"{job.state}); see {job.paths.stderr}. If memory or time ran out, raise "
                "memory_gb or minutes in [slurm]. Finished stages are kept."
            )


class StageJob:
    """What a job calls; submitit queues it again when it is preempted or its time is over."""

    def __call__(self, site: Path, stage: bytes) -> Ended:
        """Do the stage, on the site that a file of `packed` bytes holds."""
        return do_packed(site.read_bytes(), stage)

    def checkpoint(self, site: Path, stage: bytes) -> Any:
        """Return what the job that takes this one's place calls: the same again."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, site, stage)


class _Queue:
    """The jobs of one run: how they are submitted, and where they are remembered."""

    def __init__(self, of: SlurmJobs) -> None:
        self._folder = (of.site.store / "slurm").absolute()
        self._minutes = of.minutes
        self._site = _stored(packed(of.site), self._folder)
        self._record = self._folder / "jobs.json"
        submitit = _submitit()
        self._job = submitit.LocalJob if of.cluster == "local" else submitit.SlurmJob
        with _refusals():
            self._executor = submitit.AutoExecutor(folder=self._folder, cluster=of.cluster)
            on_gpu = of.site.device.startswith("cuda")
            self._executor.update_parameters(**of.settings.parameters(gpu=on_gpu))
        self._left = self._remembered()

    def submit(self, stages: Sequence[Stage]) -> Iterator[tuple[Stage, Any]]:
        """Yield each stage with its job: an earlier watcher's, or a new one of an array."""
        fresh: list[Stage] = []
        for stage in stages:
            # Once: a job that was taken up and died is not taken up again.
            if (left := self._left.pop(stage.key, None)) is not None:
                yield stage, self._job(self._folder, left)
            else:
                fresh.append(stage)
        for _, group in groupby(sorted(fresh, key=_array_of), key=_array_of):
            array = list(group)
            with _refusals():
                self._executor.update_parameters(
                    name=f"benchbox-{array[0].kind}", timeout_min=self._minutes(array)
                )
                with self._executor.batch():
                    jobs = [
                        self._executor.submit(StageJob(), self._site, packed(stage))
                        for stage in array
                    ]
            yield from zip(array, jobs, strict=True)

    def remember(self, jobs: dict[str, tuple[Stage, Any]]) -> None:
        """Write down which job does which stage, for a watcher that is started later."""
        write_json(self._record, {key: job.job_id for key, (_, job) in jobs.items()})

    def _remembered(self) -> dict[str, str]:
        """Return stage → job of those that an earlier watcher did not see the end of."""
        try:
            found = json.loads(self._record.read_text())
        except (OSError, ValueError):
            return {}
        return {key: job for key, job in found.items() if isinstance(job, str)}


def _stored(site: bytes, folder: Path) -> Path:
    """Write the site once for all jobs, under a name that another site does not have."""
    file = folder / f"site-{hashlib.sha256(site).hexdigest()[:16]}.pickle"
    write_bytes(file, site)
    return file


def _array_of(stage: Stage) -> tuple[str, bool]:
    return stage.kind, stage.on_device


def _submitit() -> Any:
    try:
        import submitit
    except ImportError as error:
        raise BenchboxError(
            "--executor slurm needs the library submitit, which is not installed: "
            "pip install submitit."
        ) from error
    return submitit


@contextmanager
def _refusals() -> Iterator[None]:
    """Turn what SLURM refuses into one line."""
    try:
        yield
    except Exception as error:
        # submitit raises RuntimeError where there is no sbatch, and errors of its own, with
        # sbatch's words, where it refuses.
        words = [line.strip() for line in str(error).splitlines() if line.strip()]
        said = next((line for line in words if "error" in line.lower()), words[0] if words else "")
        raise BenchboxError(
            f"--executor slurm: the job cannot be submitted: {said or type(error).__name__}. Check "
            "the grid's table [slurm] (partition, account, gpus) and that sbatch is on the PATH."
        ) from error
