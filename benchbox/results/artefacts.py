"""What a run left in its store: models, embeddings and adversarial queries, for figures."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from benchbox.data.holding_out import hold_out
from benchbox.data.images import load_images, to_unit
from benchbox.data.protocol import ImageRecord, ReidDataset
from benchbox.data.reading import read_dataset
from benchbox.errors import BenchboxError
from benchbox.files.printable import printable
from benchbox.models.given import Given
from benchbox.models.given_building import restore_given
from benchbox.results.conditions import Condition
from benchbox.results.networks import Network
from benchbox.results.run_folder import RunFolder
from benchbox.results.stored_weights import classifier_shape, load_model, load_tensors
from benchbox.runs.stages.attack import images_file, sample_rows
from benchbox.runs.store import Manifest, Store
from benchbox.untrusted.json import read_json

MOST_BYTES = 8_000_000_000
"""Of a stage, besides attacks', which may hold all adversarial queries; more is not read."""

MOST_WIDTH = 1_000_000
"""Of an embedding."""


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
        run: the run, read.
        given: name → given model, of the rows whose plugins were named: without it such a row has
            no model here.
    """

    run: RunFolder
    given: Mapping[str, Given] = field(default_factory=dict)
    _datasets: dict[str, ReidDataset] = field(default_factory=dict, repr=False)
    _stages: dict[tuple[str, str], Manifest | None] = field(default_factory=dict, repr=False)
    _networks: dict[str, Network] = field(default_factory=dict, repr=False)

    @property
    def store(self) -> Store:
        """The run's store."""
        if self.run.record.store is None:
            raise BenchboxError("the run does not say where its store is; run the grid again.")
        return Store(_folder_at(self.run.path, self.run.record.store, what="the run's store"))

    def folder(self, cell: str, kind: str) -> Path:
        """Return the folder of the finished, undamaged stage that a cell's number came from."""
        return self.store.folder(kind, self.manifest(cell, kind).key)

    def file(self, cell: str, kind: str, name: str) -> Path:
        """Return a file of such a stage, which lists it."""
        manifest = self.manifest(cell, kind)
        if name not in manifest.files:
            raise BenchboxError(f"the {kind} stage of cell {cell} has no {name}.")
        return self.store.folder(kind, manifest.key) / name

    def manifest(self, cell: str, kind: str) -> Manifest:
        """Return what the store says of a stage of a cell, all of whose files are as listed.

        Each stage is hashed once.

        Raises:
            BenchboxError: run.json names no such stage, or the store has it not, or damaged.
        """
        record = self.run.record.cells.get(cell)
        key = record.stages.get(kind) if record else None
        if key is None:
            raise BenchboxError(f"run.json names no {kind} stage for cell {cell}.")
        if kind == "rank" and not key.startswith(cell):
            raise BenchboxError(f"run.json gives cell {cell} the rank stage of another.")
        if (kind, key) not in self._stages:
            most = None if kind == "attack" else MOST_BYTES
            self._stages[kind, key] = self.store.manifest(kind, key, most=most)
        manifest = self._stages[kind, key]
        if manifest is None:
            # Without the cell: a stage serves many, and is one problem.
            raise BenchboxError(
                f"the store has no undamaged {kind} stage {key[:20]}; run the grid again."
            )
        return manifest

    def made_by(self, cell: str) -> Literal["train", "given"]:
        """Return the kind of the stage that a cell's model came from."""
        record = self.run.record.cells.get(cell)
        return "given" if record and "given" in record.stages else "train"

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
            if self.made_by(cell) == "given":
                return {self._given_width(cell)}
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

    def network(self, cell: str) -> Network:
        """Return a cell's model, in evaluation mode, with what its images have to be.

        Raises:
            BenchboxError: the weights are not here, or are no weights of this model; or the model
                is a given one whose plugin was not named, or which is built otherwise now.
        """
        kind = self.made_by(cell)
        key = self.manifest(cell, kind).key
        if key not in self._networks:
            file = self.file(cell, kind, "weights.safetensors")
            self._networks[key] = (
                self._trained(cell, file) if kind == "train" else self._given(cell, file)
            )
        return self._networks[key]

    def _trained(self, cell: str, file: Path) -> Network:
        backbone = self._said(cell, "backbone")
        model = load_model(file, backbone=backbone, image_size=self.image_size)
        return Network(model.eval(), self.image_size)

    def _given(self, cell: str, file: Path) -> Network:
        name = self._said(cell, "defense")
        given = self.given.get(name)
        if given is None:
            raise BenchboxError(
                f"{name} is a given model: name the file that builds it with --plugin."
            )
        described = self.run.record.defenses.get(name)
        there = described.get("given") if isinstance(described, dict) else None
        if given.settings() != there:
            raise BenchboxError(
                f"{name} is used otherwise here than in the run: {given.settings()!s:.200}, not "
                f"{there!s:.200}. Name the plugin it was made with."
            )
        model = restore_given(given, file, width=self._given_width(cell))
        return Network(model, given.image_size, given.interpolation, given)

    def _given_width(self, cell: str) -> int:
        file = self.file(cell, "given", "given.json")
        found = read_json(file)
        width = found.get("embedding") if isinstance(found, dict) else None
        if not isinstance(width, int) or not 1 <= width <= MOST_WIDTH:
            raise BenchboxError(f"{printable(file)}: embedding: expected 1 to {MOST_WIDTH}.")
        return width

    def _said(self, cell: str, column: str) -> str:
        results = self.run.results
        found = results.loc[results["cell"] == cell, column]
        if found.empty:
            raise BenchboxError(f"results.csv has no cell {cell}.")
        return str(found.iloc[0])

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) of the images that the run's models were fed with."""
        match self.run.record.grid.get("image_size"):
            case [int(height), int(width)] if (
                16 <= min(height, width) <= max(height, width) <= 1024
            ):
                return height, width
        raise BenchboxError("run.json: grid: image_size: expected [height, width] of 16 to 1024.")

    def images(self, cell: str, records: list[ImageRecord]) -> Tensor:
        """Return some images as a cell's model sees them, (N, 3, H, W) in [0, 1]."""
        if self.made_by(cell) == "given":
            return to_unit(self.network(cell).images(tuple(records)))
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
