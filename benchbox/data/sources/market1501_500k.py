"""Market-1501 with its 500,000 distractors in the gallery: the field's large-scale test."""

from dataclasses import dataclass, replace
from pathlib import Path

from benchbox.data.layouts.market_folders import MarketFolders
from benchbox.data.naming import is_clutter, parse_name
from benchbox.data.patterns import is_image_name
from benchbox.data.protocol import DISTRACTOR_PID, ImageRecord
from benchbox.data.scanning import GALLERY, SPLIT_FOLDERS, FileProblem, Scan
from benchbox.data.sources import market1501
from benchbox.data.sources.source import Source

_FOLDERS = ("distractors_500k", "images", "distractors", "market1501_500k")
"""What the distractors' folder is called, beside Market-1501's three; the first there counts."""


@dataclass(frozen=True)
class WithDistractors:
    """Market-1501's folders and one of distractors, each of whose images has pid 0.

    Attributes:
        market: Market-1501's own layout.
    """

    market: MarketFolders

    @property
    def parts(self) -> tuple[str, ...]:
        """Market-1501's folders."""
        return SPLIT_FOLDERS

    @property
    def expected(self) -> str:
        """Market-1501's folders and the distractors'."""
        return f"{self.market.expected}, and the distractors in {_FOLDERS[0]}/"

    def is_at(self, root: Path) -> bool:
        """Return whether Market-1501 and a folder of distractors are there."""
        return self.market.is_at(root) and _distractors(root) is not None

    def scan(self, root: Path) -> Scan:
        """Return what the file names say; see `Layout`."""
        scan = self.market.scan(root)
        scan.expected = self.expected
        folder = _distractors(root)
        if folder is None:
            scan.missing[f"{_FOLDERS[0]}/"] = "is missing"
            return scan
        found = []
        for path in sorted(folder.iterdir(), key=lambda path: path.name):
            if is_image_name(path.name):
                name = parse_name(path.name)
                # Its camera never matters: nobody in the queries is on it.
                found.append(ImageRecord(path, DISTRACTOR_PID, name.camid if name else 1))
            elif not is_clutter(path.name):
                fault = "misnamed, expected a JPEG or PNG image"
                scan.problems.append(FileProblem(f"{folder.name}/{path.name}", fault))
        if not found:
            scan.missing[f"{folder.name}/"] = "is empty"
        scan.records[GALLERY] = (*scan.records[GALLERY], *found)
        return scan


def _distractors(root: Path) -> Path | None:
    return next((root / name for name in _FOLDERS if (root / name).is_dir()), None)


_MARKET = market1501.SOURCE
_COUNTS = _MARKET.official

SOURCE = Source(
    name="market1501-500k",
    title="Market+500k",
    layout=WithDistractors(MarketFolders("market")),
    folders=market1501.FOLDERS,
    obtain=f"{_MARKET.obtain}; get the 500k distractors from the same page and unpack them into "
    f"{_FOLDERS[0]}/ beside bounding_box_test/",
    citation=_MARKET.citation,
    licence=_MARKET.licence,
    official=_COUNTS
    and replace(
        _COUNTS,
        gallery_images=_COUNTS.gallery_images + 500_000,
        test_files=_COUNTS.test_files + 500_000,
    ),
)
