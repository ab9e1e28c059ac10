"""Atomic writes: a reader never sees half a file."""

import errno
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchbox.errors import BenchboxError

_FULL = (errno.ENOSPC, errno.EDQUOT)

NOT_WRITTEN = (*_FULL, errno.EFBIG, errno.EROFS)
"""Error numbers that only a write meets."""


def cannot_write(path: Path, error: OSError) -> BenchboxError:
    """Return the one-line error for a failed write, with the system's own reason."""
    reason = error.strerror or str(error)
    to_do = (
        "Free some space or choose another folder"
        if error.errno in _FULL
        else ("Choose another folder, one that you may write to")
    )
    return BenchboxError(
        f"{path}: cannot be written ({reason}). {to_do}, "
        "then run the same command again: finished work is kept."
    )


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling of ``path`` that replaces it when the block ends well.

    The file is synced before the rename, so after a crash ``path`` is either the old
    content or the new one. On an exception the temporary file is removed.

    Raises:
        BenchboxError: the folder or the file cannot be written.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        if temporary is not None and _is_of_another(error, temporary):
            raise
        raise cannot_write(path, error) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _is_of_another(error: OSError, temporary: Path) -> bool:
    """Whether a fault names another file than the one being written, such as one being read."""
    return error.filename is not None and os.fsdecode(error.filename) != os.fspath(temporary)


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` atomically, as UTF-8 with Unix line ends."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` to ``path`` atomically as readable JSON; NaN and infinities are refused."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")
