"""``manifest:FILE``: a dataset of one's own that a table lists."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

from benchbox.data.layouts.manifest import Manifest
from benchbox.data.rows import Zero
from benchbox.data.scanning import Scan
from benchbox.data.sources.source import Source

MANIFEST_PREFIX = "manifest:"
"""``manifest:/some/file.csv`` names a dataset by the table that lists it."""


@dataclass(frozen=True, kw_only=True)
class ManifestSource(Source):
    """A manifest that a user names.

    Attributes:
        zero: what identity 0 is: ``distractor``, or ``identity`` where identities count from 0.
    """

    options: ClassVar[tuple[str, ...]] = ("zero", "same_camera")

    zero: Zero = "distractor"

    @classmethod
    def at(cls, name: str) -> Self:
        """Return the source of ``manifest:FILE``."""
        return cls(
            name=name,
            title=name,
            layout=Manifest(),
            obtain="a CSV or Parquet file of your own, with path, pid, camid and split of each "
            "image",
            citation="yours",
            licence="yours to state",
        )

    @property
    def how_to_get(self) -> str:
        """One sentence that says what the file has to be."""
        return f"{self.name}: {self.obtain}."

    def places(self, data_root: Path, *, size: str) -> list[Path]:
        """Return the file."""
        del data_root, size
        return [Path(self.name.removeprefix(MANIFEST_PREFIX)).expanduser()]

    def scan(self, folder: Path) -> Scan:
        """Return what the manifest says."""
        scan = Manifest(self.zero).scan(folder)
        scan.same_camera = self.same_camera
        return scan
