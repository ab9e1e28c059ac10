"""A published set's folders, with identity and camera in each image's path by a pattern."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchbox.data.patterns import NamePattern
from benchbox.data.rows import MARKET, Numbering, Row, scan_rows
from benchbox.data.scanning import FileProblem, Scan
from benchbox.data.suggesting import image_paths
from benchbox.errors import BenchboxError
from benchbox.files.printable import printable


@dataclass(frozen=True, kw_only=True)
class PatternFolders:
    """One folder a split, or some of them; images below it follow a pattern.

    Attributes:
        pattern: of an image's path below its split's folder, or of its name alone.
        matches: which of the two; with ``name`` the images may lie in any folders below.
        train: the folder of the training images, empty for none; so are the other two.
        query: the queries' folder.
        gallery: the gallery's folder.
        numbering: how identities are numbered.
    """

    pattern: str
    matches: Literal["path", "name"] = "path"
    train: str = ""
    query: str = ""
    gallery: str = ""
    numbering: Numbering = MARKET

    @property
    def folders(self) -> dict[str, str]:
        """Split → its folder, of those there are."""
        named = {"train": self.train, "query": self.query, "gallery": self.gallery}
        return {split: folder for split, folder in named.items() if folder}

    @property
    def parts(self) -> tuple[str, ...]:
        """The splits' folders."""
        return tuple(self.folders.values())

    @property
    def expected(self) -> str:
        """The folders and the pattern."""
        folders = " and ".join(f"{folder}/" for folder in self.parts)
        return f"{folders} with images named like {self.pattern}"

    def is_at(self, root: Path) -> bool:
        """Return False: its names may be another dataset's."""
        del root
        return False

    def scan(self, root: Path) -> Scan:
        """Return what the paths of the images say; see `Layout`."""
        require_folder(root, self.expected)
        scan = Scan(root, layout=f"names like {self.pattern}", expected=self.expected)
        pattern = NamePattern(self.pattern)
        rows = rows_of(scan, self.folders, pattern, matches=self.matches)
        return scan_rows(scan, rows, numbering=self.numbering)


def require_folder(root: Path, expected: str) -> None:
    """Check that a dataset's folder is there.

    Raises:
        BenchboxError: it is not.
    """
    if not root.is_dir():
        raise BenchboxError(f"{printable(root)}: no such folder. Expected {expected}.")


def rows_of(
    scan: Scan,
    folders: dict[str, str],
    pattern: NamePattern,
    *,
    matches: Literal["path", "name"] = "path",
) -> list[Row]:
    """Return a row for each image of some splits' folders that follows the pattern.

    What does not, and folders that are missing or empty, are put down in the scan.

    Args:
        scan: its root is looked under.
        folders: split → folder below the root; empty for the root itself.
        pattern: of the path below that folder, or of the name.
        matches: which of the two.
    """
    rows = []
    for split, folder in folders.items():
        below = scan.root / folder
        paths = list(image_paths(below)) if below.is_dir() else []
        if not paths:
            scan.missing[f"{folder}/"] = "is empty" if below.is_dir() else "is missing"
        for path in paths:
            found = pattern.read(path if matches == "path" else path.rpartition("/")[2])
            place = f"{folder}/{path}" if folder else path
            if found is None:
                fault = f"misnamed, expected a name like {pattern.text}"
                scan.problems.append(FileProblem(place, fault))
            else:
                rows.append(row_of(found, split=split, place=place, path=below / path))
    return rows


def row_of(found: dict[str, str], *, split: str, place: str, path: Path) -> Row:
    """Return the row of an image whose path was read by a pattern."""
    view = found.get("view")
    return Row(split, place, path, found["pid"], found.get("camid"), int(view) if view else None)
