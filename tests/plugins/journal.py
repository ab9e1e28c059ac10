"""Loaded in every worker: writes down which process began a stage and which one finished it.

A line is ``began KEY PID START`` or ``finished KEY PID START``. START is when the process was
started, which tells it from a later one of the same number. The journal lies beside the store.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchbox.runs.store import Store

_building, _finish = Store.building, Store.finish


def start_of(pid: int) -> str | None:
    """Return when a process was started, in the kernel's ticks; None when it is over."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


def note(store: Store, what: str, key: str) -> None:
    line = f"{what} {key} {os.getpid()} {start_of(os.getpid())}\n"
    # One write to a file opened for appending: lines of several processes do not mix.
    file = os.open(store.root.parent / "journal", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, line.encode())
    os.close(file)


@contextmanager
def building(self: Store, kind: str, key: str) -> Iterator[Path]:
    note(self, "began", key)
    with _building(self, kind, key) as folder:
        yield folder


def finish(self: Store, partial: Path, *, manifest: dict[str, Any]) -> Any:
    record = _finish(self, partial, manifest=manifest)
    note(self, "finished", manifest["key"])
    return record


# Once a process, though it may be loaded as a plugin and imported as a module.
if not hasattr(Store, "journalled"):
    Store.building, Store.finish, Store.journalled = building, finish, True
