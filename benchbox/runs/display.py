"""What a person sees while a run works: bars with an ETA in a terminal, plain lines elsewhere."""

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import TaskID

from benchbox.files.console import noted_bars, time_left
from benchbox.runs.executors.events import Done, Event, Failed, LeftOut, Moved, Started
from benchbox.runs.stages import Stage


class Display:
    """Shows the events of an executor; use as a context manager.

    Args:
        console: decides whether there is a terminal.
        stages: what is to be done; their costs weigh the bar and the ETA.
    """

    def __init__(self, console: Console, stages: Sequence[Stage]) -> None:
        self._console = console
        self._count = len(stages)
        self._costs = {stage.key: stage.cost for stage in stages}
        self._total = sum(self._costs.values()) or 1.0
        self._done_cost = 0.0
        self._ended = 0
        self._shares: dict[str, float] = {}
        self._started = time.monotonic()
        self._bars = noted_bars(console)
        self._all: TaskID = self._bars.add_task("all stages", total=self._total, note="")
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        """Start the bars."""
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove the bars."""
        self._bars.stop()

    def notify(self, event: Event) -> None:
        """Show one event."""
        stage = event.stage
        match event:
            case Started():
                if stage.key not in self._tasks:
                    self._tasks[stage.key] = self._bars.add_task(stage.title, total=1.0, note="")
            case Moved(share=share, text=text):
                self._shares[stage.key] = share
                self._bars.update(self._tasks[stage.key], completed=share, note=text)
            case Done(seconds=seconds):
                self._end(stage)
                # Rankings take milliseconds; a line for each would bury the rest.
                if stage.kind != "rank":
                    self._line(f"{seconds:7.1f} s  {stage.title}")
            case Failed(error=error):
                self._end(stage)
                self._console.print(
                    f"failed: {error}", style="red", highlight=False, markup=False, soft_wrap=True
                )
            case LeftOut():
                self._end(stage)
        self._bars.update(self._all, completed=self._progress(), note=self._eta())

    def _end(self, stage: Stage) -> None:
        self._ended += 1
        self._done_cost += stage.cost
        self._shares.pop(stage.key, None)
        if (task := self._tasks.pop(stage.key, None)) is not None:
            self._bars.remove_task(task)

    def _progress(self) -> float:
        running = (share * self._costs[key] for key, share in self._shares.items())
        return self._done_cost + sum(running)

    def _eta(self) -> str:
        done = self._progress() / self._total
        return time_left(self._started, done)

    def _line(self, text: str) -> None:
        self._console.print(
            f"[{self._ended}/{self._count}] {text} · {self._eta()}",
            highlight=False,
            markup=False,
        )
