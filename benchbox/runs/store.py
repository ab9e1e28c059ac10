"""The store: one folder per finished stage, named by the digest of all that determines it.

Caching, resuming after a crash and sharing between rows are this one mechanism. A stage's folder
appears by a single rename, when its work is complete; what is inside is listed with digests in
``stage.json``, so a damaged artefact is noticed and built again.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, ValidationError

from benchbox.errors import BenchboxError
from benchbox.files.atomic import cannot_write, write_json
from benchbox.files.bounded import read_at_most
from benchbox.files.digests import digest_of_file

SCHEMA = 1

_LISTING = 32_000_000
"""Bytes of a ``stage.json`` at most; those of a balanced training set name tens of thousands."""

_NAME = 200
"""Characters of a file's name at most."""


class FileEntry(BaseModel):
    """Size and SHA-256 of one file of an artefact."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    size: int
    sha256: str


class Manifest(BaseModel):
    """What ``stage.json`` says of a finished stage.

    Attributes:
        stage_schema: version of this record's layout.
        key: digest by which the stage is asked for.
        kind: what sort of stage it is, such as ``train``.
        title: what was done, in words.
        settings: what went into the key besides code and inputs.
        seconds: how long the work took.
        device: device it was done on.
        finished: when it was finished, as ISO 8601 has it; None in artefacts older than this field.
        torch: version of PyTorch it was done with; None likewise.
        files: relative path → size and digest.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    stage_schema: int
    key: str
    kind: str
    title: str
    settings: dict[str, Any]
    seconds: float
    device: str
    finished: str | None = None
    torch: str | None = None
    files: dict[str, FileEntry]


@dataclass(frozen=True)
class Store:
    """Artefacts below ``root``, safe for several processes at once."""

    root: Path

    def folder(self, kind: str, key: str) -> Path:
        """Return where the artefact of a stage lies, or will lie."""
        return self.root / f"{kind}-{key[:20]}"

    def manifest(self, kind: str, key: str, *, most: int | None = None) -> Manifest | None:
        """Return the manifest of a finished, undamaged stage; None if it has to be done.

        Sizes and digests of all files are compared; a link, to a file or a folder, is damage.

        Args:
            kind: such as ``train``.
            key: what the stage is asked for by.
            most: bytes; a stage of more is not read and not returned. None: any.
        """
        folder = self.folder(kind, key)
        manifest = self.recorded(kind, key)
        if manifest is None:
            return None
        sizes = [entry.size for entry in manifest.files.values()]
        if min(sizes, default=0) < 0 or (most is not None and sum(sizes) > most):
            return None
        for name, entry in manifest.files.items():
            try:
                file = _file_below(folder, name)
                if file is None or file.stat().st_size != entry.size:
                    return None
                if digest_of_file(file) != entry.sha256:
                    return None
            except OSError:
                return None
        return manifest

    def recorded(self, kind: str, key: str) -> Manifest | None:
        """Return the manifest of a finished stage without reading the files it lists.

        Features of a large gallery take seconds to hash: enough for what the manifest itself says.
        """
        folder = self.folder(kind, key)
        listing = folder / "stage.json"
        try:
            if folder.is_symlink() or listing.is_symlink():
                return None
            content = read_at_most(listing, size=_LISTING)
            manifest = Manifest.model_validate_json(content)
        except (OSError, ValidationError):
            return None
        return manifest if manifest.key == key and manifest.stage_schema == SCHEMA else None

    def scratch(self, kind: str, key: str) -> Path:
        """Return the folder a stage keeps its checkpoints in until it is finished."""
        return self.root / "scratch" / f"{kind}-{key[:20]}"

    @contextmanager
    def claim(self, kind: str, key: str) -> Iterator[None]:
        """Hold the stage's lock; the system frees it when the process ends, however it ends."""
        locks = self.root / "locks"
        try:
            locks.mkdir(parents=True, exist_ok=True)
            lock = FileLock(locks / f"{kind}-{key[:20]}.lock")
            lock.acquire()
        except OSError as error:
            raise cannot_write(locks, error) from error
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def building(self, kind: str, key: str) -> Iterator[Path]:
        """Yield an empty folder to build in. Call under :meth:`claim`, then :meth:`finish`.

        Remains of a killed attempt, and a damaged artefact, are removed first; on an exception
        the folder is removed and nothing appears in the store.
        """
        partial = self.root / "partial" / f"{kind}-{key[:20]}"
        try:
            for stale in (partial, self.folder(kind, key)):
                if stale.is_symlink():
                    stale.unlink()
                elif stale.exists():
                    shutil.rmtree(stale)
            partial.mkdir(parents=True)
            self.scratch(kind, key).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(partial, error) from error
        try:
            yield partial
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def finish(self, partial: Path, *, manifest: dict[str, Any]) -> Manifest:
        """Turn a built folder into the finished artefact and drop the stage's scratch folder.

        Raises:
            BenchboxError: the build left no file, or the store cannot be written.
        """
        files = {
            path.relative_to(partial).as_posix(): FileEntry(
                size=path.stat().st_size, sha256=digest_of_file(path)
            )
            for path in sorted(partial.rglob("*"))
            if path.is_file()
        }
        if not files:
            raise BenchboxError(f"{partial}: the stage {manifest['title']!r} wrote no file.")
        record = Manifest(stage_schema=SCHEMA, files=files, **manifest)
        try:
            write_json(partial / "stage.json", record.model_dump(mode="json"))
            partial.rename(self.folder(record.kind, record.key))
        except OSError as error:
            raise cannot_write(self.folder(record.kind, record.key), error) from error
        shutil.rmtree(self.scratch(record.kind, record.key), ignore_errors=True)
        return record

    def drop(self, kind: str, key: str) -> None:
        """Remove the artefact of a stage, if it is there; what is left of half of one is none."""
        shutil.rmtree(self.folder(kind, key), ignore_errors=True)


def _file_below(folder: Path, name: str) -> Path | None:
    """Return a regular file of a folder; None where there is none or its name or a link leads out.

    Raises:
        OSError: the name is not one that the file system takes.
    """
    parts = PurePosixPath(name).parts
    plain = 0 < len(name) <= _NAME and "\0" not in name and "\\" not in name
    if not plain or name.startswith("/") or ".." in parts:
        return None
    steps = [folder.joinpath(*parts[:depth]) for depth in range(1, len(parts) + 1)]
    if any(step.is_symlink() for step in steps) or not steps[-1].is_file():
        return None
    return steps[-1]
