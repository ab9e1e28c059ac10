"""Looks whether what a command names is there, before PyTorch takes its seconds to load."""

from pathlib import Path

from benchbox.errors import BenchboxError
from benchbox.files.printable import printable


def require_run(folder: Path) -> None:
    """Check that a folder may be a run's.

    Raises:
        BenchboxError: it has no run.json.
    """
    if not (folder / "run.json").is_file():
        raise BenchboxError(
            f"{printable(folder / 'run.json')}: cannot be read (no such file). A run's folder "
            "holds it: is this one?"
        )


def require_there(*paths: Path) -> None:
    """Check that files or folders are there.

    Raises:
        BenchboxError: one is not.
    """
    for path in paths:
        if not path.exists():
            raise BenchboxError(f"{printable(path)}: no such file or folder.")
