"""Grids, published tables and boards' protocols: in a wheel package data, in a checkout folders."""

from collections.abc import Iterable
from pathlib import Path

from benchbox.errors import BenchboxError, unknown_name
from benchbox.files.atomic import write_bytes
from benchbox.files.printable import printable

_PACKAGE = Path(__file__).resolve().parent.parent


def bundled_folder(name: str, *, package: Path = _PACKAGE) -> Path:
    """Return a folder that comes with benchbox, such as ``grids`` or ``leaderboards/published``.

    A wheel holds it in ``benchbox/bundled/``, a checkout beside the package.

    Args:
        name: the folder's path in a checkout.
        package: the folder of the package ``benchbox``.

    Raises:
        BenchboxError: it is in neither place.
    """
    for folder in (package / "bundled" / name, package.parent / name):
        if folder.is_dir():
            return folder
    raise BenchboxError(
        f"{printable(package / 'bundled' / name)}: no such folder; it is part of every wheel and "
        "checkout of benchbox. Install benchbox again."
    )


def bundled_grids() -> dict[str, Path]:
    """Return name → file of the grids that come with benchbox, sorted by name."""
    return {path.stem: path for path in sorted(bundled_folder("grids").glob("*.toml"))}


def bundled_boards() -> dict[str, tuple[Path, ...]]:
    """Return board → its protocol of today and those of earlier versions, sorted by name."""
    folders = sorted(path.parent for path in bundled_folder("leaderboards").glob("*/protocol.toml"))
    return {folder.name: tuple(sorted(folder.glob("protocol*.toml"))) for folder in folders}


def find_grid(given: Path) -> Path:
    """Return a grid's file: the one that is there, or the one of benchbox that has this name.

    Raises:
        BenchboxError: it is neither.
    """
    if given.is_file():
        return given
    grids = bundled_grids()
    if given.name in grids and len(given.parts) == 1:
        return grids[given.name]
    if given.suffix or len(given.parts) > 1 or given.exists():
        says = "not a regular file" if given.exists() else "no such file"
        raise BenchboxError(
            f"{printable(given)}: cannot be read ({says}). Name a grid's file, or one of those "
            f"that come with benchbox: {', '.join(grids)}."
        )
    raise unknown_name("grid", str(given), grids)


def copy_new(sources: Iterable[Path], folder: Path) -> list[Path]:
    """Copy files into a folder, none over another that is there; return the copies.

    Raises:
        BenchboxError: one is there already with another content, or cannot be written.
    """
    contents = {folder / source.name: source.read_bytes() for source in sources}
    for path, content in contents.items():
        if path.exists() and not (path.is_file() and path.read_bytes() == content):
            raise BenchboxError(
                f"{printable(path)}: exists already and is not overwritten. Remove it, or choose "
                "another folder."
            )
    for path, content in contents.items():
        write_bytes(path, content)
    return list(contents)
