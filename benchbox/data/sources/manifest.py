"""``manifest:FILE``: a dataset of one's own that a table lists."""

from dataclasses import dataclass
from typing import ClassVar, Self

from benchbox.data.layouts.layout import Layout
from benchbox.data.layouts.manifest import Manifest
from benchbox.data.sources.source import OwnSource

MANIFEST_PREFIX = "manifest:"
"""``manifest:/some/file.csv`` names a dataset by the table that lists it."""


@dataclass(frozen=True, kw_only=True)
class ManifestSource(OwnSource):
    """A manifest that a user names."""

    options: ClassVar[tuple[str, ...]] = ("zero", "same_camera")

    prefix: ClassVar[str] = MANIFEST_PREFIX

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
    def reading(self) -> Layout:
        """The table's columns."""
        return Manifest(self.zero)
