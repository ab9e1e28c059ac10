"""Puts a built site in its place: nothing half written, and nothing removed that is not ours."""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from benchbox.errors import BenchboxError
from benchbox.files.atomic import cannot_write, write_json, write_text
from benchbox.files.printable import printable
from benchbox.untrusted.json import Limits, read_record

MARKER = ".benchbox-site.json"
"""Shows that a folder holds a site, and which of its files are the site's."""

_LONGEST = 600
"""Characters of a page's path; its name is made of four names of up to 100."""

_DEEPEST = 3
"""Parts of a page's path."""

_MARKER_LIMITS = Limits(size=16_000_000)


class Marker(BaseModel):
    """The marker file.

    Attributes:
        files: paths of the site's files, relative to its folder.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_: Literal[1] = Field(default=1, alias="schema")
    files: tuple[Annotated[str, Field(max_length=_LONGEST)], ...] = Field(max_length=100_000)


def require_place(out: Path) -> tuple[str, ...]:
    """Return the files of the site that stands in a folder; none where there is no site yet.

    Raises:
        BenchboxError: the folder is none, or holds something other than a site.
    """
    where = printable(out)
    if out.is_symlink() and not out.exists():
        raise BenchboxError(f"{where}: is a link that leads nowhere; expected a folder.")
    if out.exists() and not out.is_dir():
        raise BenchboxError(f"{where}: is no folder. Name one for the site, or none there yet.")
    if not out.exists() or not any(out.iterdir()):
        return ()
    marker = out / MARKER
    if not marker.exists() and not marker.is_symlink():
        raise BenchboxError(
            f"{where}: is not empty and holds no site that was built here before ({MARKER} is "
            "missing). Name an empty or a new folder."
        )
    files = read_record(marker, Marker, limits=_MARKER_LIMITS).files
    for name in files:
        _require_inside(out, name)
    return files


def write_site(out: Path, contents: Mapping[str, str]) -> list[Path]:
    """Write a site's files, and remove those of an earlier site that are no longer part of it.

    Everything is written into a folder beside the site first, then moved file by file, so that a
    full disk leaves the old site as it was. Files that no build wrote (a CNAME) stay.

    Args:
        out: the site's folder.
        contents: relative POSIX path → text.

    Returns:
        the files written, sorted.

    Raises:
        BenchboxError: see `require_place`, or something cannot be written.
    """
    earlier = require_place(out)
    for name in contents:
        _require_inside(out, name)
    names = sorted(contents)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        # Beside it, since a move within one file system is atomic.
        place = out.resolve()
        building = Path(tempfile.mkdtemp(dir=place.parent, prefix=f".{place.name}."))
    except OSError as error:
        raise cannot_write(out, error) from error
    try:
        for name in names:
            write_text(building / name, contents[name])
        # Until all is done the marker names old and new, so that a later build can clean up.
        _write_marker(out, sorted({*earlier, *names}))
        for name in names:
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            (building / name).replace(out / name)
        for name in set(earlier) - set(names):
            _remove(out, name)
        _write_marker(out, names)
    except OSError as error:
        raise cannot_write(out, error) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return [out / name for name in names]


def _write_marker(out: Path, names: list[str]) -> None:
    write_json(out / MARKER, {"schema": 1, "files": names})


def _remove(out: Path, name: str) -> None:
    (out / name).unlink(missing_ok=True)
    folder = (out / name).parent
    if folder != out and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _require_inside(out: Path, name: str) -> None:
    """Refuse a path that leaves the site's folder, by its name or by a link on its way."""
    parts = PurePosixPath(name).parts
    if len(parts) > _DEEPEST:
        raise BenchboxError(f"{printable(out / MARKER)}: {printable(name)!r}: too many folders.")
    if not parts or name.startswith("/") or ".." in parts or "\\" in name or "\0" in name:
        raise BenchboxError(f"{printable(out / MARKER)}: {printable(name)!r} leaves the folder.")
    for depth in range(1, len(parts) + 1):
        step = out.joinpath(*parts[:depth])
        if step.is_symlink():
            raise BenchboxError(f"{printable(step)}: is a link; remove it and build again.")
        if step.exists() and step.is_dir() != (depth < len(parts)):
            raise BenchboxError(f"{printable(step)}: is in the way of a file of the site.")
