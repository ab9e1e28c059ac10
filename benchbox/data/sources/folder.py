"""``path:FOLDER``: a folder of one's own, in Market-1501's layout or by a pattern."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

from benchbox.data.layouts.own_folder import OwnFolder
from benchbox.data.rows import Zero
from benchbox.data.scanning import Scan
from benchbox.data.sources.source import Source

PATH_PREFIX = "path:"
"""``path:/some/folder`` names a dataset by its place instead of by the registry."""


@dataclass(frozen=True, kw_only=True)
class FolderSource(Source):
    """A folder that a user names.

    Attributes:
        pattern: of an image's path, such as ``{pid}_c{camid}s{*}_{*}.jpg``; see `NamePattern`.
        zero: what identity 0 is: ``distractor``, or ``identity`` where identities count from 0.
    """

    options: ClassVar[tuple[str, ...]] = ("pattern", "zero", "same_camera")

    pattern: str | None = None
    zero: Zero = "distractor"

    @classmethod
    def at(cls, name: str) -> Self:
        """Return the source of ``path:FOLDER``."""
        return cls(
            name=name,
            title=name,
            layout=OwnFolder(),
            obtain="a folder of your own in Market-1501's layout, or with a pattern",
            citation="yours",
            licence="yours to state",
        )

    @property
    def how_to_get(self) -> str:
        """One sentence that says what the folder has to be."""
        return f"{self.name}: {self.obtain}."

    def places(self, data_root: Path, *, size: str) -> list[Path]:
        """Return the folder."""
        del data_root, size
        return [Path(self.name.removeprefix(PATH_PREFIX)).expanduser()]

    def scan(self, folder: Path) -> Scan:
        """Return what the names say, by the pattern if there is one."""
        scan = OwnFolder(self.pattern, self.zero).scan(folder)
        scan.same_camera = self.same_camera
        return scan
