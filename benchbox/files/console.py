"""The terminal as all commands use it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from benchbox.files.progress import Progress


def make_console(*, stderr: bool = False) -> Console:
    """Return a console; without a terminal lines are long enough for a table to stay whole."""
    console = Console(stderr=stderr)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        return Console(stderr=stderr, width=140)
    return console


@contextmanager
def progress_bar(console: Console, what: str) -> Iterator[Progress]:
    """Show a progress bar with what is being done and an ETA; a line each without a terminal.

    Yields:
        a function to be told the share in [0, 1] that is done, and what comes next.
    """
    from rich import progress as rich_progress

    if not console.is_terminal:
        said: set[str] = set()

        def say(share: float, text: str) -> None:
            if text not in said:
                said.add(text)
                line = f"[{share:4.0%}] {text}"
                console.print(line, highlight=False, markup=False, soft_wrap=True)

        yield say
        return
    columns = (
        rich_progress.TextColumn("{task.description}"),
        rich_progress.BarColumn(),
        rich_progress.TimeRemainingColumn(),
    )
    with rich_progress.Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task(what, total=1.0)
        yield lambda share, text: bars.update(task, completed=share, description=text)
