"""What a person sees while work goes on: bars with an ETA in a terminal, plain lines elsewhere."""

import time
from collections.abc import Mapping
from datetime import timedelta
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn


class Watch:
    """Shows how far several pieces of work are; use as a context manager.

    Args:
        console: decides whether there is a terminal; without one no bar is drawn.
        what: all the pieces together, in words.
        costs: of each piece, by its key; they weigh the common bar and the ETA.
    """

    def __init__(self, console: Console, what: str, costs: Mapping[str, float]) -> None:
        self._console = console
        self._costs = dict(costs)
        self._total = sum(self._costs.values()) or 1.0
        self._shares: dict[str, float] = {}
        self._ended: set[str] = set()
        self._started = time.monotonic()
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._all: TaskID = self._bars.add_task(what, total=self._total, note="")
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

    def begin(self, key: str, title: str) -> None:
        """Show a bar for one piece, unless it has one."""
        if key not in self._tasks:
            self._tasks[key] = self._bars.add_task(title, total=1.0, note="")

    def move(self, key: str, share: float, text: str) -> None:
        """Show that a share of a piece that has begun is done, and what it is about."""
        self._shares[key] = share
        self._bars.update(self._tasks[key], completed=share, note=text)
        self._show_all()

    def end(self, key: str) -> None:
        """Count a piece as finished, begun or not, and remove its bar."""
        self._ended.add(key)
        self._shares[key] = 1.0
        if (task := self._tasks.pop(key, None)) is not None:
            self._bars.remove_task(task)
        self._show_all()

    def line(self, text: str, *, style: str = "") -> None:
        """Print a line above the bars."""
        self._console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)

    def counted_line(self, text: str) -> None:
        """Print a line with how many pieces have ended before it, and the ETA behind it."""
        self.line(f"[{len(self._ended)}/{len(self._costs)}] {text} · {self._time_left()}")

    def _show_all(self) -> None:
        self._bars.update(self._all, completed=self._done(), note=self._time_left())

    def _done(self) -> float:
        return sum(share * self._costs[key] for key, share in self._shares.items())

    def _time_left(self) -> str:
        """Return how long the work may still take, in words."""
        done = self._done() / self._total
        if done < 0.02:
            return "estimating"
        left = (time.monotonic() - self._started) * (1 - done) / done
        return f"about {timedelta(seconds=round(left))} left" if left >= 1 else "nearly done"
