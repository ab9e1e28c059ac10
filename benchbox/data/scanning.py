"""What a dataset's file names say, before any image is opened."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from benchbox.data.naming import (
    NAME_EXAMPLES,
    NAMING_TITLES,
    ImageName,
    Naming,
    is_clutter,
    parse_name,
)
from benchbox.data.protocol import DISTRACTOR_PID, JUNK_PID, ImageRecord, SameCamera
from benchbox.errors import BenchboxError
from benchbox.files.printable import printable

TRAIN, QUERY, GALLERY = "bounding_box_train", "query", "bounding_box_test"
SPLIT_FOLDERS = (TRAIN, QUERY, GALLERY)

SPLITS = {"train": TRAIN, "query": QUERY, "gallery": GALLERY}
"""The splits' own names → Market-1501's folders."""

EXPECTED_LAYOUT = (
    f"{TRAIN}/, {QUERY}/ and {GALLERY}/ with images named like "
    f"{NAME_EXAMPLES['market']} (Market-1501) or {NAME_EXAMPLES['duke']} (DukeMTMC-reID)"
)
"""What error messages say about the folders a dataset needs."""


@dataclass(frozen=True, slots=True)
class FileProblem:
    """What is wrong with one file or folder, ``file`` relative to the dataset's root."""

    file: str
    what: str

    def __str__(self) -> str:
        return f"{printable(self.file)}: {self.what}"


@dataclass(slots=True)
class Scan:
    """A dataset by what its names or lists say; no image has been opened.

    Attributes:
        root: the dataset's folder, or its manifest.
        layout: how its images are named or listed, in words.
        expected: what an error says about the folders and names the dataset needs.
        naming: the convention most files follow, None where no file follows any.
        records: split → its images sorted by key; the gallery's hold junk. The splits have the
            names of Market-1501's folders in every layout.
        missing: folder or file → "is missing" or "is empty".
        problems: every offending file.
        foreign: whose names its files have, where they are another dataset's.
        labels_in_keys: whether the images' keys say identity and camera; else the dataset's
            digest takes them in beside the keys.
        same_camera: the dataset's rule.
        identities: pid → the name of the identity, where identities are not numbers.
        cameras: camid → the name of the camera, likewise.
    """

    root: Path
    layout: str = "no known naming"
    expected: str = EXPECTED_LAYOUT
    naming: Naming | None = None
    records: dict[str, tuple[ImageRecord, ...]] = field(
        default_factory=lambda: dict.fromkeys(SPLIT_FOLDERS, ())
    )
    missing: dict[str, str] = field(default_factory=dict)
    problems: list[FileProblem] = field(default_factory=list)
    foreign: Naming | None = None
    labels_in_keys: bool = True
    same_camera: SameCamera = "ignore"
    identities: dict[int, str] = field(default_factory=dict)
    cameras: dict[int, str] = field(default_factory=dict)

    def shown(self, folder: str) -> str:
        """Return what a report calls a split: Market-1501's folder where there is one."""
        names = {market: split for split, market in SPLITS.items()}
        return folder if self.labels_in_keys else names[folder]

    @property
    def gallery(self) -> tuple[ImageRecord, ...]:
        """The gallery without junk."""
        return tuple(record for record in self.records[GALLERY] if record.pid != JUNK_PID)


def scan_dataset(root: Path) -> Scan:
    """Return what the file names under ``root`` say, with every problem they show.

    Raises:
        BenchboxError: ``root`` is no folder, or cannot be listed.
    """
    if not root.is_dir():
        raise BenchboxError(f"{printable(root)}: no such folder. Expected {EXPECTED_LAYOUT}.")
    scan = Scan(root)
    parsed: dict[str, list[tuple[Path, ImageName | None]]] = {}
    for folder in SPLIT_FOLDERS:
        parsed[folder] = [(path, parse_name(path.name)) for path in _entries(root / folder)]
        if not parsed[folder]:
            scan.missing[f"{folder}/"] = "is empty" if (root / folder).is_dir() else "is missing"
    used = Counter(name.naming for names in parsed.values() for _, name in names if name)
    if used:
        scan.naming = used.most_common(1)[0][0]
        scan.layout = f"{NAMING_TITLES[scan.naming]} naming"
    for folder, names in parsed.items():
        good = []
        for path, name in names:
            fault = _fault(path, name, folder=folder, naming=scan.naming)
            if fault:
                scan.problems.append(FileProblem(f"{folder}/{path.name}", fault))
            elif name:
                good.append(ImageRecord(path, name.pid, name.camid))
        scan.records[folder] = tuple(good)
    scan.problems += list_problems(scan)
    return scan


def list_problems(scan: Scan) -> list[FileProblem]:
    """Return what is wrong with the three lists together, whatever layout they come from."""
    return _only_junk(scan) + _shared_names(scan) + _shared_identities(scan)


def _entries(folder: Path) -> list[Path]:
    """Return what a split folder holds, sorted, without what operating systems leave behind."""
    try:
        files = (path for path in folder.iterdir() if not is_clutter(path.name))
        # By name, not by path: Windows would compare paths without regard to case.
        return sorted(files, key=lambda path: path.name)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        reason = error.strerror or str(error)
        raise BenchboxError(f"{printable(folder)}: cannot be listed ({reason}).") from error


def _fault(path: Path, name: ImageName | None, *, folder: str, naming: Naming | None) -> str | None:
    """Return what is wrong with one file by its name, None where nothing is."""
    if name is None:
        examples = [NAME_EXAMPLES[naming]] if naming else list(NAME_EXAMPLES.values())
        return f"misnamed, expected a name like {' or '.join(examples)} (cameras count from 1)"
    if naming and name.naming != naming:
        return (
            f"{NAMING_TITLES[name.naming]} naming in a dataset named like {NAMING_TITLES[naming]}"
        )
    if not path.is_file():
        return "not a file (a folder or a broken link)"
    if folder != GALLERY and name.pid in (JUNK_PID, DISTRACTOR_PID):
        return f"pid {name.pid} (junk or distractor) belongs in {GALLERY}/ only"
    return None


def _only_junk(scan: Scan) -> list[FileProblem]:
    images = scan.records[GALLERY]
    if images and all(record.pid == JUNK_PID for record in images):
        return [FileProblem(f"{GALLERY}/", "holds nothing but junk (pid -1)")]
    return []


def excluded(query: ImageRecord, item: ImageRecord, rule: SameCamera) -> bool:
    """Return whether the protocol leaves a gallery image out of a query's ranking."""
    own = (query.pid, query.camid) == (item.pid, item.camid)
    return item.pid == JUNK_PID or (own and rule == "ignore")


def _shared_names(scan: Scan) -> list[FileProblem]:
    """Return the queries whose file is a gallery image's that is ranked for them."""

    def name(record: ImageRecord) -> str:
        return record.path.name if record.place is None else str(record.path)

    gallery = {name(record): record for record in scan.records[GALLERY]}
    shared = [(q, gallery[name(q)]) for q in scan.records[QUERY] if name(q) in gallery]
    return [
        FileProblem(query.key, f"this query file is also in the gallery, as {item.key}")
        for query, item in shared
        if not excluded(query, item, scan.same_camera)
    ]


def _shared_identities(scan: Scan) -> list[FileProblem]:
    """Return one problem per identity that training and test share."""
    test = {record.pid for folder in (QUERY, GALLERY) for record in scan.records[folder]}
    shared: defaultdict[int, list[ImageRecord]] = defaultdict(list)
    for record in scan.records[TRAIN]:
        if record.pid in test:
            shared[record.pid].append(record)
    return [
        FileProblem(
            images[0].key,
            f"identity {pid} is in the training set ({len(images)} image(s)) and in the test set",
        )
        for pid, images in sorted(shared.items())
    ]
