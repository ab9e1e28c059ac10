"""Reads a file whole, but no device, no pipe and no more of it than expected."""

import errno
import os
import stat
from pathlib import Path


def read_at_most(path: Path, *, size: int) -> bytes:
    """Return the bytes of a regular file, or of the one that a link leads to.

    Args:
        path: of the file.
        size: bytes; a longer file is not read.

    Raises:
        OSError: it is not there, is no regular file or is longer; ``strerror`` says which.
    """
    try:
        # Without waiting: opening a pipe would go on until somebody writes into it.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except ValueError as error:  # a NUL in the name
        raise OSError(errno.EINVAL, str(error), os.fspath(path)) from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))
    with os.fdopen(handle, "rb") as stream:
        content = stream.read(size + 1)
    if len(content) > size:
        says = f"larger than {size:,} bytes, the most that is read"
        raise OSError(errno.EFBIG, says, os.fspath(path))
    return content
