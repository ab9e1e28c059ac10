"""A fault of the file system as one line: which file, what is wrong with it, and what to do."""

import os
from pathlib import Path

from benchbox.errors import BenchboxError
from benchbox.files.atomic import NOT_WRITTEN, cannot_write
from benchbox.files.printable import printable

_TO_DO: dict[type[OSError], str] = {
    FileNotFoundError: "It was there before, or was never made: put it back",
    PermissionError: "Change its permissions, or run as a user who may use it",
    TimeoutError: "See whether the disk or network drive it lies on can be reached",
}
"""What mends a fault, by its kind."""


def file_fault(error: OSError, *, doing: str) -> BenchboxError:
    """Return the one-line error for a fault that came up while something was done.

    Only a write that failed is called one: other faults name the file they met.

    Args:
        error: as Python raised it.
        doing: what was being done, in words.
    """
    file = "" if error.filename is None else printable(os.fsdecode(error.filename))
    if error.errno in NOT_WRITTEN:
        return cannot_write(Path(file or doing), error)
    reason = printable(error.strerror or str(error)) or type(error).__name__
    to_do = next((says for kind, says in _TO_DO.items() if isinstance(error, kind)), "Mend that")
    where = f"{doing}: {file}" if file else doing
    return BenchboxError(
        f"{where}: {reason}. {to_do}, then run the same command again: finished work is kept."
    )
