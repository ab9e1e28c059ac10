"""What a dataset is: train, query and gallery lists in the Market-1501 protocol."""

from dataclasses import dataclass
from pathlib import Path

JUNK_PID = -1
"""Market-1501's mark for a bad detection: never counted, neither right nor wrong."""

DISTRACTOR_PID = 0
"""Market-1501's mark for a gallery image of nobody in the query set: counted as wrong."""


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One image on disk.

    Attributes:
        path: the file.
        pid: the person's identity; 0 is a distractor.
        camid: the camera, counted from 1 as in the file names.
        view: the direction the image was taken from, where the dataset says so.
    """

    path: Path
    pid: int
    camid: int
    view: int | None = None

    @property
    def key(self) -> str:
        """``split folder/file name``: names the image on every machine, seeds its randomness."""
        return f"{self.path.parent.name}/{self.path.name}"


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
    """

    name: str
    root: Path
    train: tuple[ImageRecord, ...]
    query: tuple[ImageRecord, ...]
    gallery: tuple[ImageRecord, ...]
    junk: int
    digest: str

    @property
    def train_pids(self) -> tuple[int, ...]:
        """The training identities, sorted; a class label is an index into this tuple."""
        return tuple(sorted({record.pid for record in self.train}))
