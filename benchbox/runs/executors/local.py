"""Executors do stages in the order their needs allow: worker processes on this machine for now."""

import multiprocessing
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Protocol

from benchbox.errors import BenchboxError
from benchbox.runs.stages import Stage, with_needs
from benchbox.runs.worker import Advanced, Ended, serve
from benchbox.runs.workplace import Site


@dataclass(frozen=True)
class Started:
    """A stage is being done."""

    stage: Stage


@dataclass(frozen=True)
class Moved:
    """A stage has come ``share`` of its way."""

    stage: Stage
    share: float
    text: str


@dataclass(frozen=True)
class Done:
    """A stage is finished and in the store."""

    stage: Stage
    seconds: float


@dataclass(frozen=True)
class Failed:
    """A stage could not be done."""

    stage: Stage
    error: str


@dataclass(frozen=True)
class LeftOut:
    """A stage was not tried, since one it needs failed."""

    stage: Stage


Event = Started | Moved | Done | Failed | LeftOut


class Executor(Protocol):
    """Does stages somewhere. A cluster engine implements this one method."""

    def execute(self, stages: Sequence[Stage], notify: Callable[[Event], None]) -> None:
        """Do all stages, each after those it needs that are among ``stages``.

        Needs that are not among ``stages`` are in the store already. A failed stage takes down
        only what needs it. Raises only when nothing more can be done at all.
        """
        ...


@dataclass
class _Worker:
    process: SpawnProcess
    channel: Connection
    stage: Stage | None = None

    def take(self, stage: Stage) -> None:
        """Hand the worker a stage; if it is dead, listening to it will say so."""
        self.stage = stage
        with suppress(OSError):
            self.channel.send(stage)


@dataclass(frozen=True)
class LocalProcesses:
    """Worker processes on this machine, one torch thread each.

    Attributes:
        site: store, datasets, device.
        workers: how many processes.
    """

    site: Site
    workers: int

    def execute(self, stages: Sequence[Stage], notify: Callable[[Event], None]) -> None:
        """Do all stages; see :class:`Executor`."""
        waiting = Waiting(stages)
        pool = [self._start() for _ in range(min(self.workers, len(stages)))]
        try:
            while waiting:
                for worker in pool:
                    if worker.stage is None and (stage := waiting.next_ready()) is not None:
                        worker.take(stage)
                        notify(Started(stage))
                busy = [worker for worker in pool if worker.stage is not None]
                if not busy:
                    return
                ready = wait([worker.channel for worker in busy])
                for worker in busy:
                    if worker.channel in ready:
                        self._listen(worker, waiting, notify)
        finally:
            for worker in pool:
                worker.channel.close()
                worker.process.terminate()
            for worker in pool:
                worker.process.join()

    def _start(self) -> _Worker:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=serve, args=(self.site, theirs), daemon=True)
        process.start()
        theirs.close()
        return _Worker(process, ours)

    def _listen(self, worker: _Worker, waiting: "Waiting", notify: Callable[[Event], None]) -> None:
        """Take one message of a busy worker; replace the worker if it died."""
        stage = worker.stage
        if stage is None:
            return
        try:
            message: Advanced | Ended = worker.channel.recv()
        except (EOFError, ConnectionResetError):
            worker.process.join()
            code = worker.process.exitcode
            if waiting.died_before(stage):
                raise BenchboxError(
                    f"{stage.title}: its worker process died twice (exit code {code}); "
                    "if memory ran out, lower --workers or --batch-size. Finished stages are kept."
                ) from None
            fresh = self._start()
            worker.process, worker.channel = fresh.process, fresh.channel
            worker.take(stage)
            notify(Started(stage))
            return
        if isinstance(message, Advanced):
            notify(Moved(stage, message.share, message.text))
            return
        worker.stage = None
        if message.error is None:
            waiting.finished(stage)
            notify(Done(stage, message.seconds))
        else:
            notify(Failed(stage, message.error))
            for lost in waiting.abandon(stage):
                notify(LeftOut(lost))


class Waiting:
    """The stages still to be started, handed out when their needs are met."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        self._todo = {stage.key: stage for stage in stages}
        self._unfinished = set(self._todo)
        self._deaths: set[str] = set()
        self._length: dict[str, float] = {}
        # Longest chain first: what the most work waits for must not start last.
        for stage in reversed(with_needs(stages)):
            own = self._length.setdefault(stage.key, 0.0) + stage.cost
            for need in stage.needs:
                self._length[need.key] = max(self._length.get(need.key, 0.0), own)

    def __bool__(self) -> bool:
        """Whether a stage is unfinished."""
        return bool(self._unfinished)

    def next_ready(self) -> Stage | None:
        """Return the ready stage that most work waits for, and count it as started."""
        ready = [
            stage
            for stage in self._todo.values()
            if not any(need.key in self._unfinished for need in stage.needs)
        ]
        if not ready:
            return None
        best = max(ready, key=lambda stage: self._length[stage.key] + stage.cost)
        del self._todo[best.key]
        return best

    def finished(self, stage: Stage) -> None:
        """Note that a stage is in the store."""
        self._unfinished.discard(stage.key)

    def died_before(self, stage: Stage) -> bool:
        """Note that a worker died over a stage; return whether that happened before."""
        again = stage.key in self._deaths
        self._deaths.add(stage.key)
        return again

    def abandon(self, stage: Stage) -> list[Stage]:
        """Give up a failed stage and all that needs it; return the latter."""
        self._unfinished.discard(stage.key)
        lost: list[Stage] = []
        gone = {stage.key}
        for candidate in with_needs(self._todo.values()):
            if candidate.key in self._todo and any(need.key in gone for need in candidate.needs):
                gone.add(candidate.key)
                lost.append(candidate)
                del self._todo[candidate.key]
                self._unfinished.discard(candidate.key)
        return lost
