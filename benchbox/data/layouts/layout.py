"""What a layout is: it finds and names the three lists of a dataset under its folder."""

from pathlib import Path
from typing import Protocol

from benchbox.data.scanning import Scan


class Layout(Protocol):
    """A way in which datasets lie on disk."""

    @property
    def parts(self) -> tuple[str, ...]:
        """Folders and files below the dataset's folder by which it is recognised."""

    @property
    def expected(self) -> str:
        """What an error says about the folders and names the dataset needs."""

    def is_at(self, root: Path) -> bool:
        """Return whether ``root`` itself, such as the data root, is surely such a dataset."""

    def scan(self, root: Path) -> Scan:
        """Return what names and lists under ``root`` say, with every problem they show.

        Raises:
            BenchboxError: ``root`` is no folder, or cannot be listed.
        """
