"""What a run left in its store: models, embeddings and adversarial queries, for figures."""

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from torch import Tensor

from benchbox.data.holding_out import hold_out
from benchbox.data.images import load_images, to_unit
from benchbox.data.protocol import ImageRecord, ReidDataset
from benchbox.data.reading import read_dataset
from benchbox.errors import BenchboxError
from benchbox.files.printable import printable
from benchbox.models.reid import ReidModel
from benchbox.results.conditions import Condition
from benchbox.results.run_folder import RunFolder
from benchbox.results.stored_weights import classifier_shape, load_model, load_tensors
from benchbox.runs.stages.attack import images_file, sample_rows
from benchbox.runs.store import Manifest, Store

MOST_BYTES = 8_000_000_000
"""Of a stage, besides attacks', which may hold all adversarial queries; more is not read."""


@dataclass(frozen=True)
class Attacked:
    """The adversarial queries of a cell that the store holds as images.

    Attributes:
        rows: their places among the dataset's queries.
        images: (K, 3, H, W) in [0, 1], in the order of ``rows``.
    """

    rows: list[int]
    images: Tensor


@dataclass(frozen=True)
class Artefacts:
    """Reads a run's store and datasets, and checks them against what the run recorded.

    Everything here raises a `BenchboxError` with one sentence where a run's folder has travelled
    without its store or its datasets: then the figure that asked is left out.

    Attributes:
        run: whose.
    """

    run: RunFolder
    _datasets: dict[str, ReidDataset] = field(default_factory=dict, repr=False)

    @property
    def store(self) -> Store:
        """The run's store."""
        if self.run.record.store is None:
            raise BenchboxError("the run does not say where its store is; run the grid again.")
        return Store(_folder_at(self.run.path, self.run.record.store, what="the run's store"))

    def folder(self, cell: str, kind: str) -> Path:
        """Return the folder of the finished, undamaged stage that a cell's number came from."""
        return self._stage(cell, kind)[0]

    def file(self, cell: str, kind: str, name: str) -> Path:
        """Return a file of such a stage, which lists it."""
        folder, manifest = self._stage(cell, kind)
        if name not in manifest.files:
            raise BenchboxError(f"the {kind} stage of cell {cell} has no {name}.")
        return folder / name

    def _stage(self, cell: str, kind: str) -> tuple[Path, Manifest]:
        record = self.run.record.cells.get(cell)
        key = record.stages.get(kind) if record else None
        if key is None:
            raise BenchboxError(f"run.json names no {kind} stage for cell {cell}.")
        store = self.store
        manifest = store.manifest(kind, key, most=None if kind == "attack" else MOST_BYTES)
        if manifest is None:
            raise BenchboxError(
                f"the store has no undamaged {kind} stage {key[:20]}; run the grid again."
            )
        return store.folder(kind, key), manifest

    def dataset(self, name: str) -> ReidDataset:
        """Return a dataset of the run, the same to the last byte."""
        if name not in self._datasets:
            recorded = self.run.record.datasets.get(name)
            if recorded is None or recorded.root is None:
                raise BenchboxError(f"run.json does not say where {name} is.")
            root = _folder_at(Path(), recorded.root, what=f"dataset {name} in")
            found = read_dataset(root, name=name)
            if self.run.record.grid.get("validation") is True:
                found = hold_out(found)
            if found.digest != recorded.digest:
                raise BenchboxError(
                    f"{name} in {printable(root)} is not the dataset of the run: its digest "
                    "differs."
                )
            self._datasets[name] = found
        return self._datasets[name]

    def features(self, cell: str) -> dict[str, Tensor]:
        """Return the clean embeddings of a cell's model, ``query`` and ``gallery``."""
        file = self.file(cell, "embed", "features.safetensors")
        found = load_tensors(file)
        parts = [found.get(name) for name in ("query", "gallery")]
        shapes = [() if part is None else tuple(part.shape) for part in parts]
        widths = {shape[1] if len(shape) == 2 else None for shape in shapes}
        if None in widths or len(widths | self._widths(cell)) > 1:
            raise BenchboxError(
                f"{printable(file)}: expected the embeddings query and gallery, as wide as those "
                "of the cell's model."
            )
        return found

    def _widths(self, cell: str) -> set[int | None]:
        """Return how wide the embeddings of a cell's model are; none where it is not here."""
        try:
            return {classifier_shape(self.file(cell, "train", "weights.safetensors"))[1]}
        except BenchboxError:
            return set()

    def attacked_features(self, cell: str, condition: Condition) -> Tensor:
        """Return the (Q, D) embeddings of the queries as attacked in a cell."""
        file = self.file(cell, "attack", "features.safetensors")
        return _of(file, str(_fraction(condition)))

    def attacked(self, cell: str, condition: Condition, *, queries: int) -> Attacked:
        """Return the adversarial queries that the store holds: all, or a sample of them."""
        file = self.folder(cell, "attack") / images_file(_fraction(condition))
        if not file.is_file():
            raise BenchboxError("the store holds no adversarial queries; run the grid again.")
        images = _of(file, "images")
        rows = list(range(queries)) if len(images) == queries else sample_rows(queries)
        if len(rows) != len(images):
            raise BenchboxError(f"{file}: holds {len(images)} adversarial queries of {queries}.")
        return Attacked(rows, images)

    def model(self, cell: str) -> ReidModel:
        """Return a cell's trained model, in evaluation mode."""
        file = self.file(cell, "train", "weights.safetensors")
        results = self.run.results
        backbones = results.loc[results["cell"] == cell, "backbone"]
        if backbones.empty:
            raise BenchboxError(f"results.csv has no cell {cell}.")
        model = load_model(file, backbone=str(backbones.iloc[0]), image_size=self.image_size)
        return model.eval()

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) of the images that the run's models were fed with."""
        match self.run.record.grid.get("image_size"):
            case [int(height), int(width)] if (
                16 <= min(height, width) <= max(height, width) <= 1024
            ):
                return height, width
        raise BenchboxError("run.json: grid: image_size: expected [height, width] of 16 to 1024.")

    def images(self, cell: str, records: list[ImageRecord]) -> Tensor:  # noqa: ARG002  all alike
        """Return some images as a cell's model sees them, (N, 3, H, W) in [0, 1]."""
        return to_unit(load_images(tuple(records), size=self.image_size))

    def guard(self, defense: str) -> Any:
        """Return what stands before a defense's model, as run.json describes it, or None."""
        described = self.run.record.defenses.get(defense)
        return described.get("guard") if isinstance(described, dict) else None


def _fraction(condition: Condition) -> Fraction:
    """Return a condition's budget as the grid wrote it."""
    return Fraction(condition.eps_255).limit_denominator(10**6) / 255


def _of(file: Path, name: str) -> Tensor:
    """Return one tensor of a file."""
    found = load_tensors(file)
    if name not in found:
        raise BenchboxError(f"{printable(file)}: holds no {name!r}; run the grid again.")
    return found[name]


def _folder_at(base: Path, recorded: str, *, what: str) -> Path:
    """Return a folder that a run's record names, whatever text it has for the name."""
    try:
        folder = base / Path(recorded).expanduser()
        there = folder.is_dir()
    # No such user; a name too long for the file system; a NUL.
    except (RuntimeError, OSError, ValueError):
        folder, there = base / recorded, False
    if not there:
        raise BenchboxError(f"{what} {printable(folder)[:300]} is not on this machine.")
    return folder
