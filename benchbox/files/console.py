"""The terminal as all commands use it."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from typing_extensions import override

from benchbox.files.progress import Progress

READER_LEFT = 141
"""The exit code when nobody reads the output any more: what a shell says of SIGPIPE, 128 + 13."""


class _Console(Console):
    """A console whose reader may leave, as ``head`` does: the command then ends without a word."""

    @override
    def on_broken_pipe(self) -> None:
        self.quiet = True
        # What is still buffered goes nowhere, or Python would complain about it at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(READER_LEFT)


def print_anything() -> None:
    r"""Let the terminal's encoding spell what it has no character for, such as ``\u2192``."""
    for stream in (sys.stdout, sys.stderr):
        encoding = (getattr(stream, "encoding", None) or "utf-8").lower()
        if not encoding.startswith("utf") and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def make_console(*, stderr: bool = False) -> Console:
    """Return a console; without a terminal lines are long enough for a table to stay whole."""
    console = _Console(stderr=stderr)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        return _Console(stderr=stderr, width=140)
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
