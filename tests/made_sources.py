"""Small fakes of published datasets: their folders, lists, names and traps, few images."""

from collections.abc import Callable
from pathlib import Path

from benchbox.data.counting import Counts
from tests.made_datasets import GALLERY, QUERY, TRAIN, make_duke, make_market, noise_image


class Writer:
    """Writes images below a folder, each with content of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.number = 0

    def __call__(self, place: str, *, like: str | None = None) -> None:
        """Write the image ``place``, or a copy of ``like``."""
        path = self.root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        if like is not None:
            path.write_bytes((self.root / like).read_bytes())
            return
        noise_image(self.number).save(path)
        self.number += 1


def make_msmt17(root: Path, *, train: str = "train", test: str = "test") -> None:
    """Identities 0–2 in training and, other people, 0–2 in test; cameras 1, 2 and 15."""
    write = Writer(root)
    lists: dict[str, list[str]] = {}
    for name, folder, pids, first in (
        ("train", train, (0, 1), 0),
        ("val", train, (2,), 0),
        ("query", test, (0, 1, 2), 0),
        ("gallery", test, (0, 1, 2), 50),
    ):
        lines = lists.setdefault(name, [])
        for pid in pids:
            for place, camera in enumerate((1, 2, 15)):
                file = (
                    f"{pid:04d}/{pid:04d}_{first + place:03d}_{camera:02d}_0303morning_0015_0.jpg"
                )
                write(f"{folder}/{file}")
                lines.append(f"{file} {pid}")
    for name, lines in lists.items():
        (root / f"list_{name}.txt").write_text("\n".join(lines) + "\n")


def make_msmt17_v2(root: Path) -> None:
    """Version 2 masks faces and calls its folders otherwise."""
    make_msmt17(root, train="mask_train_v2", test="mask_test_v2")


def make_cuhk03np(root: Path) -> None:
    """Two cameras; identity 769's query is repeated in the gallery on its own camera."""
    write = Writer(root)
    for pid in (1, 2, 3):
        for camera in (1, 2):
            write(f"{TRAIN}/{pid:04d}_c{camera}_{pid * 10 + camera}.png")
    for pid in (768, 769):
        for camera in (1, 2):
            write(f"{QUERY}/{pid:04d}_c{camera}_{pid * 10 + camera}.png")
            write(f"{GALLERY}/{pid:04d}_c{camera}_{pid * 10 + 5 + camera}.png")
    write(f"{GALLERY}/0769_c1_9999.png", like=f"{QUERY}/0769_c1_7691.png")


def make_market_500k(root: Path) -> None:
    """Market-1501 and a folder of five distractors, some named otherwise, two junk by name."""
    make_market(root)
    write = Writer(root)
    write.number = 500
    for name in (
        "0000_c1s1_000001_01.jpg",
        "-1_c2s1_000002_01.jpg",
        "-1_c2s1_000003_01.jpg",
        "0000_c4s1_000004_01.jpg",
        "d00005.jpg",
    ):
        write(f"images/{name}")


def make_veri(root: Path) -> None:
    """Cars; each query lies in image_test, too, under its own name."""
    write = Writer(root)
    for pid in (1, 2):
        for camera in (1, 20):
            write(f"image_train/{pid:04d}_c{camera:03d}_00016450_0.jpg")
    for pid in (3, 4):
        for camera in (1, 20):
            name = f"{pid:04d}_c{camera:03d}_00017000_0.jpg"
            write(f"image_query/{name}")
            write(f"image_test/{name}", like=f"image_query/{name}")
            write(f"image_test/{pid:04d}_c{camera:03d}_00018000_0.jpg")


def make_last(root: Path) -> None:
    """No cameras; training and test both count from 0; queries in one folder."""
    write = Writer(root)
    for pid in (0, 1):
        for number in (1, 2):
            write(f"train/{pid:06d}/{pid:06d}_{number}_film.jpg")
    for pid in (0, 1, 2):
        write(f"test/query/{pid:06d}_0_film.jpg")
        for number in (1, 2):
            write(f"test/gallery/{pid:06d}/{pid:06d}_{number}_film.jpg")
    write("val/query/000009_0_film.jpg")


def make_personx(root: Path) -> None:
    """Two backgrounds, each with test folders that are not read."""
    write = Writer(root)
    for background in (1, 2):
        for pid in (4, 5):
            for view in (1, 33):
                write(f"{background}/{TRAIN}/{pid:04d}_c{background}s1_{view:02d}.jpg")
        write(f"{background}/{QUERY}/0001_c{background}s1_32.jpg")


def make_randperson(root: Path) -> None:
    """Identity 0 is a person; camera 0 of scene 0 is not camera 0 of scene 1."""
    write = Writer(root)
    for pid in (0, 1):
        for place in ("c00_s00", "c01_s00", "c00_s01"):
            write(f"randperson_subset/{pid:06d}_{place}_f000264.jpg")


def make_clonedperson(root: Path) -> None:
    """As RandPerson, scene before camera."""
    write = Writer(root)
    for pid in (0, 7):
        for place in ("s01_c00", "s02_c00"):
            write(f"train/{pid:06d}_{place}_f000009.jpg")


MAKERS: dict[str, tuple[Callable[[Path], object], Counts]] = {
    "market1501": (make_market, Counts(3, 9, 3, 6, 12, 14, 3)),
    "dukemtmcreid": (make_duke, Counts(3, 9, 3, 6, 10, 10, 4)),
    "occluded-duke": (make_duke, Counts(3, 9, 3, 6, 10, 10, 4)),
    "msmt17": (make_msmt17, Counts(3, 9, 3, 9, 9, 9, 3)),
    "msmt17-v2": (make_msmt17_v2, Counts(3, 9, 3, 9, 9, 9, 3)),
    "cuhk03-np-detected": (make_cuhk03np, Counts(3, 6, 2, 4, 5, 5, 2)),
    "cuhk03-np-labeled": (make_cuhk03np, Counts(3, 6, 2, 4, 5, 5, 2)),
    "market1501-500k": (make_market_500k, Counts(3, 9, 3, 6, 17, 19, 4)),
    "veri776": (make_veri, Counts(2, 4, 2, 4, 8, 8, 2)),
    "last": (make_last, Counts(2, 4, 3, 3, 6, 6, 1)),
    "personx": (make_personx, Counts(2, 8, 0, 0, 0, 0, 2)),
    "randperson": (make_randperson, Counts(2, 6, 0, 0, 0, 0, 3)),
    "clonedperson": (make_clonedperson, Counts(2, 4, 0, 0, 0, 0, 2)),
}
"""Dataset → how its fake is made, and the numbers that fake has."""


def make_source(name: str, data_root: Path, folder: str) -> Path:
    """Make the fake of a dataset where it is looked for, and return its folder."""
    root = data_root / folder
    root.mkdir(parents=True, exist_ok=True)
    MAKERS[name][0](root)
    return root
