"""Does the stages of a run in worker processes on this machine."""

import multiprocessing
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from benchbox.errors import BenchboxError
from benchbox.runs.executors.events import Event, Moved, Noticed, Started
from benchbox.runs.executors.seats import Seat, seats_for
from benchbox.runs.executors.waiting import Waiting
from benchbox.runs.stages import Stage
from benchbox.runs.worker import Advanced, Ended, Noted, serve
from benchbox.runs.workplace import Site


@dataclass
class _Worker:
    seat: Seat
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
        site: what all workers share: store, datasets; on GPUs each has a device of its own.
        workers: how many processes there are, on a CPU or on each GPU.
        gpus: which of the GPUs that this process sees are used; none on a CPU.
    """

    site: Site
    workers: int
    gpus: tuple[int, ...] = ()

    def execute(self, stages: Sequence[Stage], notify: Callable[[Event], None]) -> None:
        """Do all stages; see :class:`~benchbox.runs.executors.events.Executor`."""
        waiting = Waiting(stages)
        seats = seats_for(stages, workers=self.workers, gpus=self.gpus)
        pool = [self._start(seat) for seat in seats]
        try:
            while waiting:
                for worker in pool:
                    if worker.stage is None and (stage := waiting.next_ready(worker.seat.suits)):
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

    def _start(self, seat: Seat) -> _Worker:
        # Spawned, not forked: CUDA cannot be used in a fork of a process that has looked at it.
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        site = replace(self.site, device=seat.device)
        process = context.Process(target=serve, args=(site, theirs, seat.sees), daemon=True)
        process.start()
        theirs.close()
        return _Worker(seat, process, ours)

    def _listen(self, worker: _Worker, waiting: Waiting, notify: Callable[[Event], None]) -> None:
        """Take one message of a busy worker; replace the worker if it died."""
        stage = worker.stage
        if stage is None:
            return
        try:
            message: Advanced | Noted | Ended = worker.channel.recv()
        except (EOFError, ConnectionResetError):
            worker.process.join()
            code = worker.process.exitcode
            if waiting.put_back(stage) > 1:
                raise BenchboxError(
                    f"{stage.title}: its worker process died twice (exit code {code}); "
                    "if memory ran out, lower --workers or --batch-size. Finished stages are kept."
                ) from None
            fresh = self._start(worker.seat)
            worker.process, worker.channel, worker.stage = fresh.process, fresh.channel, None
            return
        if isinstance(message, Advanced):
            notify(Moved(stage, message.share, message.text))
            return
        if isinstance(message, Noted):
            notify(Noticed(stage, message.text))
            return
        worker.stage = None
        waiting.settle(stage, message, notify)
