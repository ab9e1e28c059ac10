"""Which data files a plugin reads while it is imported: they determine numbers as its code does."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from benchbox.runs.user_code import is_users

READS = "__benchbox_reads__"
"""The attribute of a plugin's module that keeps the files it read, for the keys of its stages."""

_CODE = {".py", ".pyc", ".so", ".pyd"}


@contextmanager
def recorded_reads() -> Iterator[set[Path]]:
    """Yield a set that fills with the user's data files opened for reading inside the block.

    What Python itself opens is seen (`open`, `numpy.load`, `torch.load`, Pillow); a library that
    opens files in compiled code, as safetensors does, is not.
    """
    found: set[Path] = set()
    listening = _listeners()
    listening.append(found)
    try:
        yield found
    finally:
        listening.remove(found)


@cache
def _listeners() -> list[set[Path]]:
    """Return who listens; the first call hooks into Python, which cannot be undone."""
    listeners: list[set[Path]] = []

    def heard(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open" and listeners:
            path, mode = arguments[0], arguments[1]
            if isinstance(path, str | bytes | Path) and (mode is None or "r" in str(mode)):
                _note(Path(path.decode() if isinstance(path, bytes) else path), listeners)

    sys.addaudithook(heard)
    return listeners


def _note(path: Path, listeners: list[set[Path]]) -> None:
    if path.suffix in _CODE:
        return
    # An error in an audit hook would reach whoever opens the file.
    try:
        file = path.resolve()
        wanted = file.is_file() and is_users(file) and not str(file).startswith(("/proc", "/sys"))
    except (OSError, ValueError):
        return
    if wanted:
        for found in listeners:
            found.add(file)
