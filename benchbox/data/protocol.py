"""What a dataset is: train, query and gallery lists in the Market-1501 protocol."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

JUNK_PID = -1
"""Market-1501's mark for a bad detection: never counted, neither right nor wrong."""

DISTRACTOR_PID = 0
"""Market-1501's mark for a gallery image of nobody in the query set: counted as wrong."""


SameCamera = Literal["ignore", "keep"]
"""Gallery images of a query's identity on its own camera: ignored (Market-1501), or counted."""


@dataclass(frozen=True, slots=True, init=False)
class ImageRecord:
    """One image on disk.

    A gallery may have half a million: a path as text takes a quarter of the memory of a ``Path``.

    Attributes:
        file: the file's path as text; ``path`` is the same.
        pid: the person's identity; 0 is a distractor.
        camid: the camera, as the dataset numbers it: most count from 1.
        view: the direction the image was taken from, where the dataset says so.
        place: ``split/path below the dataset``, in a layout where a folder's and a file's name do
            not tell images apart; None in Market-1501's.
    """

    file: str
    pid: int
    camid: int
    view: int | None
    place: str | None

    def __init__(
        self,
        path: Path,
        pid: int,
        camid: int,
        view: int | None = None,
        place: str | None = None,
    ) -> None:
        said = {"file": os.fspath(path), "pid": pid, "camid": camid, "view": view, "place": place}
        for name, value in said.items():
            object.__setattr__(self, name, value)

    @property
    def path(self) -> Path:
        """The file."""
        return Path(self.file)

    @property
    def key(self) -> str:
        """``split folder/file name``: names the image on every machine, seeds its randomness."""
        return self.place or f"{self.path.parent.name}/{self.path.name}"


@dataclass(frozen=True, slots=True)
class ReidDataset:
    """The three lists of a ReID dataset, each sorted by file name.

    Attributes:
        name: the registry's name, such as ``market1501``.
        root: the folder that holds ``bounding_box_train``, ``query`` and ``bounding_box_test``.
        train: training images; their identities share none with query and gallery.
        query: the images searched for (and attacked).
        gallery: the images searched in, without junk (pid -1), with distractors (pid 0).
        junk: how many files of the gallery folder are junk and were left out.
        digest: SHA-256 over names and contents of all listed images.
        same_camera: what happens to gallery images of a query's identity on its own camera.
    """

    name: str
    root: Path
    train: tuple[ImageRecord, ...]
    query: tuple[ImageRecord, ...]
    gallery: tuple[ImageRecord, ...]
    junk: int
    digest: str
    same_camera: SameCamera = "ignore"

    @property
    def train_pids(self) -> tuple[int, ...]:
        """The training identities, sorted; a class label is an index into this tuple."""
        return tuple(sorted({record.pid for record in self.train}))

    @property
    def query_camids(self) -> tuple[int, ...]:
        """The queries' cameras as rankings are to see them, (Q,)."""
        return _ranked(self.query, self.same_camera, first=0)

    @property
    def gallery_camids(self) -> tuple[int, ...]:
        """The gallery's cameras as rankings are to see them, (G,)."""
        return _ranked(self.gallery, self.same_camera, first=len(self.query))


def _ranked(
    records: Sequence[ImageRecord], same_camera: SameCamera, *, first: int
) -> tuple[int, ...]:
    """Return the records' cameras; where none is to matter, each image is a camera of its own.

    So does LaST's own evaluation: whatever leaves out a query's own camera then leaves out nothing.
    """
    if same_camera == "keep":
        return tuple(range(first, first + len(records)))
    return tuple(record.camid for record in records)
