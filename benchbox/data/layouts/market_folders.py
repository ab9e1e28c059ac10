"""Market-1501's layout: three folders, identity and camera in the file's name."""

from dataclasses import dataclass
from pathlib import Path

from benchbox.data.naming import Naming, parse_name
from benchbox.data.scanning import EXPECTED_LAYOUT, QUERY, SPLIT_FOLDERS, Scan, scan_dataset


@dataclass(frozen=True)
class MarketFolders:
    """``bounding_box_train``, ``query`` and ``bounding_box_test``.

    Attributes:
        naming: whose names the files have; None for Market-1501's or DukeMTMC-reID's.
    """

    naming: Naming | None = None

    @property
    def parts(self) -> tuple[str, ...]:
        """The three folders."""
        return SPLIT_FOLDERS

    @property
    def expected(self) -> str:
        """The folders, with examples of names."""
        return EXPECTED_LAYOUT

    def is_at(self, root: Path) -> bool:
        """Return whether the first well-named query follows the naming."""
        try:
            names = sorted(path.name for path in (root / QUERY).iterdir())
        except OSError:
            return False
        found = next((parsed.naming for parsed in map(parse_name, names) if parsed), None)
        return found is not None and found == self.naming

    def scan(self, root: Path) -> Scan:
        """Return what the file names say; see `Layout`."""
        scan = scan_dataset(root)
        if self.naming is not None and scan.naming not in (None, self.naming):
            scan.foreign = scan.naming
        return scan
