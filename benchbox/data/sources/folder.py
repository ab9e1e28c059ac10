"""``path:FOLDER``: a folder of one's own, in Market-1501's layout or by a pattern."""

from dataclasses import dataclass
from typing import ClassVar, Self

from benchbox.data.layouts.layout import Layout
from benchbox.data.layouts.own_folder import OwnFolder
from benchbox.data.sources.source import OwnSource

PATH_PREFIX = "path:"
"""``path:/some/folder`` names a dataset by its place instead of by the registry."""


@dataclass(frozen=True, kw_only=True)
class FolderSource(OwnSource):
    """A folder that a user names.

    Attributes:
        pattern: of an image's path, such as ``{pid}_c{camid}s{*}_{*}.jpg``; see `NamePattern`.
    """

    options: ClassVar[tuple[str, ...]] = ("pattern", "zero", "same_camera")

    prefix: ClassVar[str] = PATH_PREFIX

    pattern: str | None = None

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
    def reading(self) -> Layout:
        """The layout, by the pattern if there is one."""
        return OwnFolder(self.pattern, self.zero)
