"""Small folders in Market-1501's layout, with Market's or Duke's naming, for tests."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

TRAIN, QUERY, GALLERY = "bounding_box_train", "query", "bounding_box_test"


@dataclass(frozen=True)
class Made:
    """A made dataset: its folder and its files, split folder → names, sorted."""

    root: Path
    files: dict[str, list[str]]


def noise_image(seed: int, *, height: int = 32, width: int = 16) -> Image.Image:
    """Return a smooth random RGB image; another seed is another image."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (4, 2, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BILINEAR)


def write_dataset(root: Path, files: dict[str, list[str]], *, seed: int = 0) -> Made:
    """Write one image per name; no two share their content."""
    number = seed
    for folder, names in files.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        for name in names:
            noise_image(number).save(root / folder / name)
            number += 1
    return Made(root, {folder: sorted(names) for folder, names in files.items()})


def make_market(root: Path, *, extension: str = "jpg", ids: int = 3) -> Made:
    """Make ``ids`` training and ``ids`` test identities on 3 cameras, 2 junk, 3 distractors."""

    def name(pid: str, camid: int, frame: int) -> str:
        return f"{pid}_c{camid}s1_{frame:06d}_01.{extension}"

    train = [name(f"{pid:04d}", cam, 451) for pid in range(2, 2 + ids) for cam in (1, 2, 3)]
    test = range(1000, 1000 + ids)
    query = [name(f"{pid:04d}", cam, 51) for pid in test for cam in (1, 2)]
    gallery = [name(f"{pid:04d}", cam, 77) for pid in test for cam in (1, 2, 3)]
    gallery += [name("-1", 1, frame) for frame in (5, 6)]
    gallery += [name("0000", 2, frame) for frame in (5, 6, 7)]
    return write_dataset(root, {TRAIN: train, QUERY: query, GALLERY: gallery})


def make_duke(root: Path, *, extension: str = "jpg", ids: int = 3) -> Made:
    """Make ``ids`` training and test identities on cameras 1, 2 and 8, one more on camera 5."""

    def name(pid: int, camid: int, frame: int) -> str:
        return f"{pid:04d}_c{camid}_f{frame:07d}.{extension}"

    train = [name(pid, cam, 46182) for pid in range(1, 1 + ids) for cam in (1, 2, 8)]
    test = range(700, 700 + ids)
    query = [name(pid, cam, 51) for pid in test for cam in (1, 2)]
    gallery = [name(pid, cam, 77) for pid in test for cam in (1, 2, 8)]
    gallery.append(name(6999, 5, 77))
    return write_dataset(root, {TRAIN: train, QUERY: query, GALLERY: gallery})
