"""What a dataset is to benchbox before it is read: where it lies, how to read it, whose it is."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from benchbox.data.counting import Counts
from benchbox.data.layouts.layout import Layout
from benchbox.data.naming import NAMING_TITLES
from benchbox.data.protocol import ReidDataset, SameCamera
from benchbox.data.reading import read_scanned
from benchbox.data.rows import Zero
from benchbox.data.scanning import Scan
from benchbox.errors import BenchboxError
from benchbox.files.printable import printable
from benchbox.files.progress import Progress, silent

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


@dataclass(frozen=True, kw_only=True)
class Source:
    """A dataset that grids may name.

    Attributes:
        name: what grids and results call it.
        title: what tables print.
        layout: how its images lie in its folder, and how identity and camera are read.
        folders: where archives and other toolboxes put it, below the data root.
        obtain: how a user gets it, in words.
        citation: who made it, and where it was published.
        licence: what its makers allow, and whether the people in it consented.
        official: the numbers its papers print; None where they print none.
        same_camera: what happens to gallery images of a query's identity on its own camera.
    """

    options: ClassVar[tuple[str, ...]] = ()
    """The fields that a grid's ``[dataset.<name>]`` may change."""

    name: str
    title: str
    layout: Layout
    folders: tuple[str, ...] = ()
    obtain: str
    citation: str
    licence: str
    official: Counts | None = None
    same_camera: SameCamera = "ignore"

    @property
    def heading(self) -> str:
        """The title as tables print it, with the camera rule where it is not Market-1501's."""
        return f"{self.title} (own camera kept)" if self.same_camera == "keep" else self.title

    @property
    def how_to_get(self) -> str:
        """One sentence that says how to get the dataset."""
        return (
            f"{self.name}: {self.obtain}; put the folder {self.folders[0]}/ under the data "
            "root (--data-root or BENCHBOX_DATA)."
        )

    def places(self, data_root: Path, *, size: str) -> list[Path]:
        """Return where the dataset may be.

        Args:
            data_root: the folder that holds datasets; it may be the dataset itself.
            size: of a rendered dataset.
        """
        del size
        found = [data_root / folder for folder in self.folders]
        return [*found, data_root] if self.layout.is_at(data_root) else found

    def digest_of(self, *, size: str) -> str | None:
        """Return the dataset's digest where it is known without reading images."""
        del size
        return None

    def counts_of(self, *, size: str) -> Counts | None:
        """Return how many images it has where that is known without reading it.

        Args:
            size: of a rendered dataset.
        """
        del size
        return self.official

    @property
    def reading(self) -> Layout:
        """The layout, with what a user may say of it."""
        return self.layout

    def scan(self, folder: Path) -> Scan:
        """Return what names and lists say, under this dataset's camera rule.

        Raises:
            BenchboxError: there is no such folder, or it cannot be listed.
        """
        scan = self.reading.scan(folder)
        scan.same_camera = self.same_camera
        return scan

    def read(self, folder: Path, *, progress: Progress = silent) -> ReidDataset:
        """Return the dataset in ``folder``.

        Raises:
            BenchboxError: it is faulty, or its files are named after another dataset.
        """
        scan = self.scan(folder)
        if scan.foreign is not None:
            raise BenchboxError(
                f"{printable(folder)}: found as {self.name}, but its files are named like "
                f"{NAMING_TITLES[scan.foreign]}'s. Move the folder, or use the name "
                f"path:{printable(folder)}."
            )
        return read_scanned(scan, name=self.name, progress=progress)

    def prepare(self, folder: Path, *, size: str, workers: int, progress: Progress) -> None:
        """Make the dataset in ``folder`` where it can be made; most cannot."""


@dataclass(frozen=True, kw_only=True)
class OwnSource(Source):
    """A dataset of the user's own, named by its place: ``prefix`` and a path.

    Attributes:
        zero: what identity 0 is: ``distractor``, or ``identity`` where identities count from 0.
    """

    prefix: ClassVar[str]

    zero: Zero = "distractor"

    @property
    def how_to_get(self) -> str:
        """One sentence that says what it has to be."""
        return f"{self.name}: {self.obtain}."

    def places(self, data_root: Path, *, size: str) -> list[Path]:
        """Return the place that the name says."""
        del data_root, size
        return [Path(self.name.removeprefix(self.prefix)).expanduser()]


def register(sources: dict[str, Source], source: Source) -> None:
    """Add a source to a registry.

    Raises:
        BenchboxError: its name is taken, or has other characters than names may have.
    """
    if not _NAME.fullmatch(source.name):
        raise BenchboxError(
            f"dataset {source.name!r}: expected a name of lower-case letters, digits, dots, "
            "hyphens and underscores."
        )
    if source.name in sources:
        raise BenchboxError(f"dataset {source.name!r} is registered twice; choose another name.")
    sources[source.name] = source
