"""What a person sees while a study works: a bar with an ETA in a terminal, lines elsewhere."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console

from benchbox.files.console import noted_bars, time_left
from benchbox.files.progress import Progress

_TENTHS = 10


class Watching:
    """Shows how far several cells are, one after the other; use as a context manager.

    Args:
        console: decides whether there is a terminal.
        costs: of the cells in their order; they weigh bar and ETA.
    """

    def __init__(self, console: Console, costs: list[float]) -> None:
        self._console = console
        self._costs = costs
        self._started = time.monotonic()
        self._bar = noted_bars(console)
        self._task = self._bar.add_task("study", total=sum(costs) or 1.0, note="")

    def __enter__(self) -> Self:
        """Start the bar."""
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove the bar."""
        self._bar.stop()

    def cell(self, number: int, title: str) -> Progress:
        """Return what to tell the progress of cell ``number`` (from 0).

        Without a terminal there is a line whenever another tenth of the cell is done.
        """
        before = sum(self._costs[:number])
        last = 0

        def told(share: float, text: str) -> None:
            nonlocal last
            done = (before + share * self._costs[number]) / (sum(self._costs) or 1.0)
            note = f"{text} · {self._eta(done)}"
            self._bar.update(
                self._task, completed=done * sum(self._costs), description=title, note=note
            )
            tenth = int(share * _TENTHS)
            if tenth > last and not self._console.is_terminal:
                last = tenth
                self.line(f"[{number + 1}/{len(self._costs)}] {share:4.0%} {title} · {note}")

        return told

    def line(self, text: str) -> None:
        """Print a line above the bar."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def _eta(self, done: float) -> str:
        return time_left(self._started, done)
