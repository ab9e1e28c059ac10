"""Find a dataset by its name on this machine, render Sidewalk where it is missing."""

import os
from pathlib import Path

from platformdirs import user_cache_dir

from benchbox.data import sidewalk
from benchbox.data.naming import NAMING_TITLES, Naming, parse_name
from benchbox.data.official import PUBLISHED
from benchbox.data.protocol import ReidDataset
from benchbox.data.reading import read_dataset
from benchbox.data.scanning import QUERY, SPLIT_FOLDERS
from benchbox.errors import BenchboxError, unknown_name
from benchbox.files.printable import printable
from benchbox.files.progress import Progress, silent

PATH_PREFIX = "path:"
"""``path:/some/folder`` names a dataset by its place instead of by the registry."""


DATASETS: tuple[str, ...] = (*PUBLISHED, *sidewalk.DOMAINS)
"""Every name a grid may use, beside ``path:/some/folder``."""


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
    _require_known(name)
    if name in PUBLISHED:
        published = PUBLISHED[name]
        return (
            f"{name}: {published.source}; put the folder {published.folders[0]}/ under the data "
            "root (--data-root or BENCHBOX_DATA)."
        )
    if name in sidewalk.DOMAINS:
        return (
            f"{name}: rendered on first use; `benchbox data make {name} --size tiny --out "
            f"DATA_ROOT/{name}-tiny` does it beforehand."
        )
    return f"{name}: a folder of your own in Market-1501's layout."


def find_dataset(name: str, *, data_root: Path | None = None, sidewalk_size: str = "tiny") -> Path:
    """Return the folder of the dataset ``name``, which exists.

    A folder that holds all three split folders wins over a half-unpacked one.

    Args:
        name: a name of ``DATASETS`` or ``path:/some/folder``.
        data_root: the folder to look under; see :func:`data_folder`. It may be the dataset itself.
        sidewalk_size: which of Sidewalk's sizes.

    Raises:
        BenchboxError: the name or size is unknown, or nothing was found: the message lists what
            was looked for and how to get the data.
    """
    _require_known(name)
    root = data_folder(data_root)
    if name.startswith(PATH_PREFIX):
        candidates = [Path(name.removeprefix(PATH_PREFIX)).expanduser()]
    elif name in PUBLISHED:
        candidates = [root / folder for folder in PUBLISHED[name].folders]
        if _naming_of(root) == PUBLISHED[name].naming:
            candidates.append(root)
    else:
        candidates = [sidewalk_folder(name, data_root=data_root, size=sidewalk_size)]
    for needed in (len(SPLIT_FOLDERS), 1):
        for candidate in candidates:
            if sum((candidate / folder).is_dir() for folder in SPLIT_FOLDERS) >= needed:
                return candidate
    looked = ", ".join(printable(candidate) for candidate in candidates)
    raise BenchboxError(
        f"{name}: not found. Looked for {', '.join(f'{folder}/' for folder in SPLIT_FOLDERS)} in "
        f"{looked}. {how_to_get(name)}"
    )


def sidewalk_folder(name: str, *, data_root: Path | None = None, size: str = "tiny") -> Path:
    """Return where a Sidewalk set of that size is, or will be once it is rendered."""
    if size not in sidewalk.SIZES:
        raise unknown_name("Sidewalk size", size, sidewalk.SIZES)
    return data_folder(data_root) / f"{name}-{size}"


def open_dataset(
    name: str,
    *,
    data_root: Path | None = None,
    sidewalk_size: str = "tiny",
    workers: int = 1,
    progress: Progress = silent,
) -> ReidDataset:
    """Return the dataset ``name``; a Sidewalk set that is missing is rendered first.

    Args:
        name: a name of ``DATASETS`` or ``path:/some/folder``.
        data_root: the folder to look under; see :func:`data_folder`.
        sidewalk_size: which of Sidewalk's sizes.
        workers: processes that render.
        progress: told while images are rendered, then hashed.

    Raises:
        BenchboxError: the dataset is not found, cannot be rendered or is faulty; its files are
            named after another dataset; or a Sidewalk set is not the recorded one.
    """
    _require_known(name)
    if name in sidewalk.DOMAINS:
        return _open_sidewalk(
            name,
            sidewalk_folder(name, data_root=data_root, size=sidewalk_size),
            size=sidewalk_size,
            workers=workers,
            progress=progress,
        )
    root = find_dataset(name, data_root=data_root)
    dataset = read_dataset(root, name=name, progress=progress)
    if name in PUBLISHED:
        found, expected = parse_name(dataset.query[0].path.name), PUBLISHED[name].naming
        if found and found.naming != expected:
            raise BenchboxError(
                f"{printable(root)}: found as {name}, but its files are named like "
                f"{NAMING_TITLES[found.naming]}'s. Move the folder, or use the name "
                f"{PATH_PREFIX}{printable(root)}."
            )
    return dataset


def planned_digest(name: str, *, sidewalk_size: str = "tiny") -> str | None:
    """Return the dataset's digest where it is known without reading images, else None.

    Raises:
        BenchboxError: the name is unknown.
    """
    _require_known(name)
    if name in sidewalk.DOMAINS:
        return sidewalk.recorded_digest(name, size=sidewalk_size)
    return None


def _open_sidewalk(
    name: str, folder: Path, *, size: str, workers: int, progress: Progress
) -> ReidDataset:
    wanted = {"domain": name, "size": size, "seed": 0, "version": sidewalk.VERSION}
    held = sidewalk.manifest(folder)
    if held is None or any(held.get(key) != value for key, value in wanted.items()):
        # Renders where nothing is, and refuses where something else is. A finished folder is not
        # passed to it, because a data root shared by many is often read-only.
        sidewalk.make(name, folder, size=size, workers=workers, progress=progress)
        held = sidewalk.manifest(folder) or {}
    dataset = read_dataset(folder, name=name, progress=progress)
    expected = sidewalk.recorded_digest(name, size=size) or held.get("digest")
    if dataset.digest != expected:
        raise BenchboxError(
            f"{printable(folder)}: not the recorded {name} ({size}): its digest is "
            f"{dataset.digest}, expected {expected}. It was changed; remove the folder to have it "
            "rendered again."
        )
    return dataset


def _require_known(name: str) -> None:
    if name not in DATASETS and not name.startswith(PATH_PREFIX):
        raise unknown_name("dataset", name, (*DATASETS, f"{PATH_PREFIX}FOLDER"))


def _naming_of(root: Path) -> Naming | None:
    """Return the naming of the first well-named query file, None where there is none."""
    try:
        names = sorted(path.name for path in (root / QUERY).iterdir())
    except OSError:
        return None
    return next((parsed.naming for parsed in map(parse_name, names) if parsed), None)
