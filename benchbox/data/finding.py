"""Find a dataset by its name on this machine, render Sidewalk where it is missing."""

import os
from collections.abc import Mapping
from pathlib import Path

from platformdirs import user_cache_dir

from benchbox.data import sidewalk
from benchbox.data.protocol import ReidDataset
from benchbox.data.sources import SOURCES, Source, source_of
from benchbox.errors import BenchboxError
from benchbox.files.printable import printable
from benchbox.files.progress import Progress, silent

DATASETS: tuple[str, ...] = tuple(SOURCES)
"""Every name that comes with benchbox, beside ``path:FOLDER`` and ``manifest:FILE``."""


def data_folder(data_root: Path | None = None) -> Path:
    """Return where datasets are: ``data_root``, else $BENCHBOX_DATA, else the user's cache."""
    if data_root is not None:
        return data_root.expanduser()
    configured = os.environ.get("BENCHBOX_DATA")
    if configured:
        return Path(configured).expanduser()
    return Path(user_cache_dir("benchbox", appauthor=False)) / "data"


def how_to_get(name: str) -> str:
    """Return one sentence that says how to get the dataset ``name``.

    Raises:
        BenchboxError: the name is unknown.
    """
    return source_of(name).how_to_get


def find_dataset(
    name: str,
    *,
    data_root: Path | None = None,
    sidewalk_size: str = "tiny",
    sources: Mapping[str, Source] = SOURCES,
) -> Path:
    """Return the folder of the dataset ``name``, or its manifest, which exists.

    A folder that holds all its parts wins over a half-unpacked one.

    Args:
        name: a name of ``sources``, ``path:/some/folder`` or ``manifest:/some/file``.
        data_root: the folder to look under; see :func:`data_folder`. It may be the dataset itself.
        sidewalk_size: which of Sidewalk's sizes.
        sources: name → dataset.

    Raises:
        BenchboxError: the name or size is unknown, or nothing was found: the message lists what
            was looked for and how to get the data.
    """
    source = source_of(name, sources)
    candidates = source.places(data_folder(data_root), size=sidewalk_size)
    parts = source.layout.parts
    for needed in (len(parts), 1):
        for candidate in candidates:
            there = sum((candidate / part).exists() for part in parts)
            if there >= needed if parts else candidate.exists():
                return candidate
    looked = ", ".join(printable(candidate) for candidate in candidates)
    wanted = ", ".join(_shown(part) for part in parts)
    raise BenchboxError(
        f"{name}: not found. Looked for {f'{wanted} in ' if wanted else ''}{looked}. "
        f"{source.how_to_get}"
    )


def _shown(part: str) -> str:
    """Return a folder with a slash behind it, as lists of them are read; a file as it is."""
    return part if Path(part).suffix else f"{part}/"


def published_at(root: Path) -> Source | None:
    """Return the published dataset that a folder's name and content say it is."""
    if sidewalk.manifest(root) is not None:
        return None
    parts = root.resolve().parts
    for source in SOURCES.values():
        names = [Path(folder).parts for folder in source.folders if folder != "."]
        named = any(parts[-len(name) :] == name for name in names)
        there = all((root / part).exists() for part in source.layout.parts)
        if named and there and source.scan(root).foreign is None:
            return source
    return None


def sidewalk_folder(name: str, *, data_root: Path | None = None, size: str = "tiny") -> Path:
    """Return where a Sidewalk set of that size is, or will be once it is rendered."""
    return source_of(name).places(data_folder(data_root), size=size)[0]


def open_dataset(
    name: str,
    *,
    data_root: Path | None = None,
    sidewalk_size: str = "tiny",
    workers: int = 1,
    progress: Progress = silent,
    sources: Mapping[str, Source] = SOURCES,
) -> ReidDataset:
    """Return the dataset ``name``; a Sidewalk set that is missing is rendered first.

    Args:
        name: a name of ``sources``, ``path:/some/folder`` or ``manifest:/some/file``.
        data_root: the folder to look under; see :func:`data_folder`.
        sidewalk_size: which of Sidewalk's sizes.
        workers: processes that render.
        progress: told while images are rendered, then hashed.
        sources: name → dataset.

    Raises:
        BenchboxError: the dataset is not found, cannot be rendered or is faulty; its files are
            named after another dataset; or a Sidewalk set is not the recorded one.
    """
    source = source_of(name, sources)
    first = source.places(data_folder(data_root), size=sidewalk_size)[0]
    source.prepare(first, size=sidewalk_size, workers=workers, progress=progress)
    folder = find_dataset(name, data_root=data_root, sidewalk_size=sidewalk_size, sources=sources)
    return source.read(folder, progress=progress)


def planned_digest(
    name: str, *, sidewalk_size: str = "tiny", sources: Mapping[str, Source] = SOURCES
) -> str | None:
    """Return the dataset's digest where it is known without reading images, else None.

    Raises:
        BenchboxError: the name is unknown.
    """
    return source_of(name, sources).digest_of(size=sidewalk_size)
