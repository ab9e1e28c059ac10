"""PersonX: rendered people before six backgrounds (Sun and Zheng 2019); to train on."""

from dataclasses import dataclass, replace
from pathlib import Path

from benchbox.data.layouts.pattern_folders import require_folder, rows_of
from benchbox.data.patterns import NamePattern
from benchbox.data.rows import Row, scan_rows
from benchbox.data.scanning import TRAIN, Scan
from benchbox.data.sources.source import Source

_PATTERN = "{pid}_c{camid}s{*}_{view}.jpg"
_BACKGROUNDS = ("1", "2", "3", "4", "5", "6")


@dataclass(frozen=True)
class Backgrounds:
    """A folder a background, each with Market-1501's three; only the training ones are read."""

    @property
    def parts(self) -> tuple[str, ...]:
        """The first background's training images; a copy need not have all six."""
        return (f"{_BACKGROUNDS[0]}/{TRAIN}",)

    @property
    def expected(self) -> str:
        """The folders and the pattern."""
        return f"1/{TRAIN}/ to 6/{TRAIN}/ with images named like {_PATTERN}"

    def is_at(self, root: Path) -> bool:
        """Return whether two backgrounds are there."""
        return all((root / name / TRAIN).is_dir() for name in _BACKGROUNDS[:2])

    def scan(self, root: Path) -> Scan:
        """Return what the names say; see `Layout`."""
        require_folder(root, self.expected)
        scan = Scan(root, layout="PersonX's backgrounds", expected=self.expected)
        rows: list[Row] = []
        for name in _BACKGROUNDS:
            if (root / name).is_dir() or name == _BACKGROUNDS[0]:
                found = rows_of(scan, {"train": f"{name}/{TRAIN}"}, NamePattern(_PATTERN))
                # A background is a camera.
                rows += [replace(row, camid=name) for row in found]
        return scan_rows(scan, rows)


SOURCE = Source(
    name="personx",
    title="PersonX",
    layout=Backgrounds(),
    folders=("PersonX_v1", "personx/PersonX_v1", "personx", "PersonX"),
    obtain="get PersonX_v1 from its authors "
    "(https://github.com/sxzrt/Instructions-of-the-PersonX-dataset)",
    citation="Sun and Zheng, Dissecting Person Re-identification from the Viewpoint of Viewpoint, "
    "CVPR 2019",
    licence="academic use; shows nobody, its people are rendered",
)
