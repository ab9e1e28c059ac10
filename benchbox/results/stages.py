"""The finished stages that a run's numbers came from, as they lie in its store."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from benchbox.errors import BenchboxError
from benchbox.files.printable import printable
from benchbox.results.run_folder import RunFolder
from benchbox.runs.store import Manifest, Store

WEIGHTS = "weights.safetensors"
"""The file of a model's stage that holds its weights."""

MOST_BYTES = 8_000_000_000
"""Of a stage; more is not read."""


@dataclass(frozen=True)
class RunStages:
    """Finds the stages behind a cell, each of them hashed once.

    Everything here raises a `BenchboxError` with one sentence where a run's folder has travelled
    without its store, or run.json names no such stage.

    Attributes:
        run: the run, read.
        most_of_attack: bytes of an attack stage, which may hold all adversarial queries; None for
            any, which is for a run of one's own.
    """

    run: RunFolder
    most_of_attack: int | None = None
    _manifests: dict[tuple[str, str], Manifest | None] = field(default_factory=dict, repr=False)

    @property
    def store(self) -> Store:
        """The run's store."""
        if self.run.record.store is None:
            raise BenchboxError("the run does not say where its store is; run the grid again.")
        return Store(folder_at(self.run.path, self.run.record.store, what="the run's store"))

    def key(self, cell: str, kind: str) -> str:
        """Return the key of the stage that a cell's number came from."""
        record = self.run.record.cells.get(cell)
        key = record.stages.get(kind) if record else None
        if key is None:
            raise BenchboxError(f"run.json names no {kind} stage for cell {cell}.")
        if kind == "rank" and not key.startswith(cell):
            raise BenchboxError(f"run.json gives cell {cell} the rank stage of another.")
        return key

    def manifest(self, cell: str, kind: str) -> Manifest:
        """Return what the store says of such a stage, all of whose files are as listed."""
        key = self.key(cell, kind)
        if (kind, key) not in self._manifests:
            most = self.most_of_attack if kind == "attack" else MOST_BYTES
            self._manifests[kind, key] = self.store.manifest(kind, key, most=most)
        manifest = self._manifests[kind, key]
        if manifest is None:
            # Without the cell: a stage serves many, and is one problem.
            raise BenchboxError(
                f"the store has no undamaged {kind} stage {key[:20]}; run the grid again."
            )
        return manifest

    def folder(self, cell: str, kind: str) -> Path:
        """Return the folder of such a stage, finished and undamaged."""
        return self.store.folder(kind, self.manifest(cell, kind).key)

    def file(self, cell: str, kind: str, name: str) -> Path:
        """Return a file of such a stage, which lists it."""
        if name not in self.manifest(cell, kind).files:
            raise BenchboxError(f"the {kind} stage of cell {cell} has no {name}.")
        return self.folder(cell, kind) / name

    def made_by(self, cell: str) -> Literal["train", "given"]:
        """Return the kind of the stage that a cell's model came from."""
        record = self.run.record.cells.get(cell)
        return "given" if record and "given" in record.stages else "train"


def folder_at(base: Path, recorded: str, *, what: str) -> Path:
    """Return a folder or file that a run's record names, whatever text it has for the name."""
    try:
        folder = base / Path(recorded).expanduser()
        there = folder.exists()
    # No such user; a name too long for the file system; a NUL.
    except (RuntimeError, OSError, ValueError):
        folder, there = base / recorded, False
    if not there:
        raise BenchboxError(f"{what} {printable(folder)[:300]} is not on this machine.")
    return folder
