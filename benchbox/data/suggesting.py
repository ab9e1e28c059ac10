"""Which pattern a folder's names follow, where they are not Market-1501's."""

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path, PurePosixPath

from benchbox.data.patterns import NamePattern, is_image_name

_LOOKED_AT = 2_000
"""Names of a folder that are looked at."""

_ENOUGH = 0.95
"""The share of names that a pattern has to fit before it is suggested."""

_STEMS = (
    "{pid}_camera{camid}_{*}",
    "{pid}_cam{camid}_{*}",
    "{pid}_c{camid}s{*}_{*}",
    "{pid}_c{camid}_{*}",
    "{pid}_s{*}_c{camid}_{*}",
    "{pid}/camera{camid}_{*}",
    "{pid}/cam{camid}_{*}",
    "{pid}/c{camid}_{*}",
    "{pid}/{*}_cam{camid}_{*}",
    "{pid}/{*}_c{camid}_{*}",
    "{pid}/{*}_c{camid}",
    "{pid}/{camid}/{*}",
    "{pid}/{camid}_{*}",
    "{pid}/{*}",
    "{pid}_{camid}_{*}",
    "{pid}_{*}",
)
"""From the most to the least telling; the first that fits is suggested."""

_SPLITS = {"train", "query", "gallery", "test", "bounding_box_train", "bounding_box_test"}


def suggestion(root: Path) -> str:
    """Return a sentence that names the pattern of the images below ``root``, or nothing."""
    pattern = suggest_pattern(root)
    if pattern is None:
        return ""
    return f"Its names fit the pattern '{pattern}': give it with --pattern, or in the grid."


def suggest_pattern(root: Path) -> str | None:
    """Return a pattern that nearly all image names below ``root`` follow, None if none does.

    Folders of splits at the top are passed over: their names are not part of the pattern.
    """
    folder = root if root.is_dir() else root.parent
    names = [_without_split(name) for name in islice(image_paths(folder), _LOOKED_AT)]
    if not names:
        return None
    suffixes = {PurePosixPath(name).suffix for name in names}
    suffix = suffixes.pop() if len(suffixes) == 1 else ""
    for stem in _STEMS:
        found = [NamePattern(stem + suffix).read(name) for name in names]
        if sum(each is not None for each in found) >= _ENOUGH * len(names):
            cameras = {each["camid"] for each in found if each and "camid" in each}
            # A number that differs from image to image is a count and no camera.
            if len(cameras) <= max(2, len(names) // 3):
                return stem + suffix
    return None


def image_paths(root: Path) -> Iterator[str]:
    """Yield the paths of all images below ``root``, with slashes, sorted folder by folder."""
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        below = Path(folder).relative_to(root).as_posix()
        for name in sorted(files):
            if is_image_name(name):
                yield name if below == "." else f"{below}/{name}"


def _without_split(name: str) -> str:
    first, slash, rest = name.partition("/")
    return rest if slash and first in _SPLITS else name
