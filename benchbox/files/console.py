"""The terminal as all commands use it."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from rich.console import Console

from benchbox.files.progress import Progress

if TYPE_CHECKING:
    from rich.progress import Progress as Bars


def make_console(*, stderr: bool = False) -> Console:
    """Return a console; without a terminal lines are long enough for a table to stay whole."""
    console = Console(stderr=stderr)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        return Console(stderr=stderr, width=140)
    return console


def noted_bars(console: Console) -> "Bars":
    """Return bars whose tasks carry a ``note``, such as an ETA; hidden without a terminal."""
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    return Bars(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def time_left(started: float, done: float) -> str:
    """Return how long work may still take, in words.

    Args:
        started: when it began, on the monotonic clock.
        done: the share of it that is done, in [0, 1].
    """
    if done < 0.02:
        return "estimating"
    left = (time.monotonic() - started) * (1 - done) / done
    return f"about {timedelta(seconds=round(left))} left" if left >= 1 else "nearly done"


@contextmanager
def progress_bar(console: Console, what: str) -> Iterator[Progress]:
    """Show a progress bar with what is being done and an ETA; a line each without a terminal.

    Yields:
        a function to be told the share in [0, 1] that is done, and what comes next.
    """
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    if not console.is_terminal:
        said: set[str] = set()

        def say(share: float, text: str) -> None:
            if text not in said:
                said.add(text)
                line = f"[{share:4.0%}] {text}"
                console.print(line, highlight=False, markup=False, soft_wrap=True)

        yield say
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Bars(*columns, console=console, transient=True) as bars:
        task = bars.add_task(what, total=1.0)
        yield lambda share, text: bars.update(task, completed=share, description=text)
