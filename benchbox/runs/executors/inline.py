"""This process does the stages itself: for models that live in it and cannot travel."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from benchbox.errors import BenchboxError
from benchbox.runs.executors.events import Event, Moved, Noticed, Started
from benchbox.runs.executors.waiting import Waiting
from benchbox.runs.stages import Stage
from benchbox.runs.worker import Ended, do_stage
from benchbox.runs.workplace import Site, Workplace


@dataclass(frozen=True)
class Inline:
    """Does one stage after another in this process, on one torch thread as workers do.

    Attributes:
        site: store, datasets, device.
    """

    site: Site

    def execute(self, stages: Sequence[Stage], notify: Callable[[Event], None]) -> None:
        """Do all stages; see :class:`Executor`."""
        waiting = Waiting(stages)
        current: list[Stage] = []

        def report(share: float, text: str) -> None:
            notify(Moved(current[-1], share, text))

        def notice(text: str) -> None:
            notify(Noticed(current[-1], text))

        place = Workplace(self.site, report, notice)
        with _one_thread():
            while waiting and (stage := waiting.next_ready()) is not None:
                current.append(stage)
                notify(Started(stage))
                try:
                    ended = Ended(do_stage(stage, place))
                except BenchboxError as error:
                    ended = Ended(0.0, str(error))
                waiting.settle(stage, ended, notify)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums do not depend on the number of cores on one thread: the same numbers as in workers."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
