"""Reads TOML files, which anybody may have written, as far as they are worth reading."""

import tomllib
from pathlib import Path
from typing import Any

from benchbox.errors import BenchboxError
from benchbox.files.bounded import Links, read_at_most
from benchbox.files.printable import printable

_SIZE = 200_000
_LINE = 2_000
"""Characters; the parser takes quadratic time for a key of thousands of parts."""


def read_toml(path: Path, *, size: int = _SIZE, links: Links = "followed") -> dict[str, Any]:
    """Return what a TOML file of at most ``size`` bytes holds.

    Raises:
        BenchboxError: it cannot be read (see `read_at_most`), is no TOML, or has a line that is too
            long.
    """
    where = printable(path)
    try:
        content = read_at_most(path, size=size, links=links)
    except OSError as error:
        raise BenchboxError(f"{where}: cannot be read ({error.strerror}).") from error
    try:
        text = content.decode("utf-8")
        if any(len(line) > _LINE for line in text.splitlines()):
            raise BenchboxError(f"{where}: has a line of more than {_LINE:,} characters.")
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise BenchboxError(f"{where}: not valid TOML: {printable(str(error))[:200]}.") from error
