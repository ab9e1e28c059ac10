"""Text of strangers as one printable line."""

import os
from pathlib import Path


def printable(path: Path | str) -> str:
    """Return a path as one printable line, whatever bytes its name is made of."""
    text = os.fspath(path)
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "replace").decode("ascii")
        for char in text
    )
