"""MSMT17's layout: images in folders by identity, and four lists ``path pid``."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchbox.data.layouts.pattern_folders import require_folder
from benchbox.data.rows import Numbering, Row, scan_rows
from benchbox.data.scanning import FileProblem, Scan
from benchbox.errors import BenchboxError
from benchbox.files.printable import printable

_LISTS = {
    "list_train.txt": "train",
    "list_val.txt": "train",
    "list_query.txt": "query",
    "list_gallery.txt": "gallery",
}
"""List → split; the authors' validation images are training images too, as papers count them."""


@dataclass(frozen=True)
class MsmtLists:
    """Lists beside the images' folders.

    Identities count from 0 in training and again from 0 in test, where they are other people; 0 is
    a person like any other. The camera is the third field of a name:
    ``0000/0000_000_01_0303morning_0015_0.jpg`` is of camera 1.

    Attributes:
        train: the folder that ``list_train.txt`` and ``list_val.txt`` count from.
        test: the folder that ``list_query.txt`` and ``list_gallery.txt`` count from.
    """

    train: str
    test: str

    @property
    def parts(self) -> tuple[str, ...]:
        """The lists and both folders."""
        return (*_LISTS, self.train, self.test)

    @property
    def expected(self) -> str:
        """The lists and both folders."""
        return f"{', '.join(_LISTS)} beside {self.train}/ and {self.test}/"

    def is_at(self, root: Path) -> bool:
        """Return whether the lists and both folders are there."""
        return all((root / part).exists() for part in self.parts)

    def scan(self, root: Path) -> Scan:
        """Return what the lists say; see `Layout`."""
        require_folder(root, self.expected)
        scan = Scan(root, layout="MSMT17 lists", expected=self.expected)
        for part in self.parts:
            if not (root / part).exists():
                scan.missing[part] = "is missing"
        rows: list[Row] = []
        for name, split in _LISTS.items():
            if name not in scan.missing:
                folder = self.train if split == "train" else self.test
                rows += self._rows(scan, name, split, folder)
        return scan_rows(scan, rows, numbering=Numbering(zero="identity", test_apart=True))

    def _rows(self, scan: Scan, name: str, split: str, folder: str) -> Iterator[Row]:
        lines = _lines(scan.root / name)
        if not lines:
            scan.missing[name] = "is empty"
        for number, line in enumerate(lines, start=1):
            path, _, pid = line.rpartition(" ")
            fields = path.rpartition("/")[2].split("_")
            fault = None
            if not path or not pid.isdecimal():
                fault = "expected a path, a space and an identity"
            elif len(fields) < 4 or not fields[2].isdecimal():
                fault = f"{path}: the third field of its name is no camera"
            elif not fields[0].isdecimal() or int(fields[0]) != int(pid):
                fault = f"{path}: listed as identity {pid}, named as {fields[0]}"
            if fault:
                scan.problems.append(FileProblem(f"{name} line {number}", fault))
            else:
                place = f"{folder}/{path}"
                yield Row(split, place, scan.root / place, pid, fields[2])


def _lines(file: Path) -> list[str]:
    try:
        return [line for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise BenchboxError(f"{printable(file)}: cannot be read ({error}).") from error
