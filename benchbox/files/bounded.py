"""Reads a file whole, but no device, no pipe and no more of it than expected."""

import errno
import os
import stat
from pathlib import Path
from typing import Literal

Links = Literal["followed", "refused"]
"""What becomes of a symbolic link: strangers' files must not be one."""


def read_at_most(path: Path, *, size: int, links: Links = "followed") -> bytes:
    """Return the bytes of a regular file.

    Args:
        path: of the file.
        size: bytes; a longer file is not read.
        links: whether the path may be a symbolic link to the file.

    Raises:
        OSError: it is not there, is refused as a link, is no regular file, is longer or cannot be
            read; ``strerror`` says which.
    """
    if links == "refused" and Path(path).is_symlink():
        raise _refusal(path, errno.ELOOP, "is a link; expected the file itself")
    try:
        # Without waiting: opening a pipe would go on until somebody writes into it.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError as error:
        raise _refusal(path, errno.ENOENT, "no such file") from error
    except ValueError as error:  # a NUL in the name
        raise _refusal(path, errno.EINVAL, str(error)) from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise _refusal(path, errno.EINVAL, "no such file: what is there is not a regular file")
    with os.fdopen(handle, "rb") as stream:
        content = stream.read(size + 1)
    if len(content) > size:
        raise _refusal(path, errno.EFBIG, f"larger than {size:,} bytes, the most that is read")
    return content


def _refusal(path: Path, number: int, says: str) -> OSError:
    return OSError(number, says, os.fspath(path))
