"""A folder of one's own: Market-1501's layout, or any tree by a pattern."""

from dataclasses import dataclass
from pathlib import Path

from benchbox.data.layouts.market_folders import MarketFolders
from benchbox.data.layouts.pattern_folders import require_folder, row_of, rows_of
from benchbox.data.patterns import NamePattern
from benchbox.data.rows import Numbering, Row, Zero, scan_rows
from benchbox.data.scanning import EXPECTED_LAYOUT, FileProblem, Scan
from benchbox.data.suggesting import image_paths

_FOLDERS = {
    "train": ("bounding_box_train", "train", "image_train"),
    "query": ("query", "image_query"),
    "gallery": ("bounding_box_test", "gallery", "test", "image_test"),
}
"""What users call the folders of the splits; the first that is there counts."""

_SPLIT_OF = {name: split for split, names in _FOLDERS.items() for name in names}


@dataclass(frozen=True)
class OwnFolder:
    """A folder whose names a user describes.

    With a pattern, the splits are what ``{split}`` says; without that field the folders called
    train, query and gallery (or as Market-1501 calls them); and where there are none of these, all
    images are training images, of which `hold_out` can make a test.

    Attributes:
        pattern: of an image's path; None for Market-1501's layout and Market's or Duke's names.
        zero: what identity 0 is, with a pattern.
    """

    pattern: str | None = None
    zero: Zero = "distractor"

    @property
    def parts(self) -> tuple[str, ...]:
        """Nothing: a folder that lacks a split is read, to say what its names fit."""
        return ()

    @property
    def expected(self) -> str:
        """The layout, with examples of names."""
        return f"images named like {self.pattern}" if self.pattern else EXPECTED_LAYOUT

    def is_at(self, root: Path) -> bool:
        """Return False: such a folder is named by its path."""
        del root
        return False

    def scan(self, root: Path) -> Scan:
        """Return what the names say; see `Layout`."""
        if self.pattern is None:
            return MarketFolders().scan(root)
        require_folder(root, self.expected)
        scan = Scan(root, layout=f"names like {self.pattern}", expected=self.expected)
        pattern = NamePattern(self.pattern)
        rows = _by_field(scan, pattern) if "split" in pattern.fields else _by_folder(scan, pattern)
        return scan_rows(scan, rows, numbering=Numbering(zero=self.zero))


def _by_folder(scan: Scan, pattern: NamePattern) -> list[Row]:
    there = {
        split: next((name for name in names if (scan.root / name).is_dir()), "")
        for split, names in _FOLDERS.items()
    }
    found = {split: folder for split, folder in there.items() if folder}
    if ("query" in found) != ("gallery" in found):
        scan.missing["query/" if "gallery" in found else "gallery/"] = "is missing"
    return rows_of(scan, found or {"train": ""}, pattern)


def _by_field(scan: Scan, pattern: NamePattern) -> list[Row]:
    rows = []
    for place in image_paths(scan.root):
        found = pattern.read(place)
        if found is None or found["split"] not in _SPLIT_OF:
            known = ", ".join(_SPLIT_OF)
            fault = f"misnamed, expected a name like {pattern.text} with a split of {known}"
            scan.problems.append(FileProblem(place, fault))
        else:
            split = _SPLIT_OF[found["split"]]
            rows.append(row_of(found, split=split, place=place, path=scan.root / place))
    if not rows and not scan.problems:
        scan.missing["./"] = "is empty"
    return rows
