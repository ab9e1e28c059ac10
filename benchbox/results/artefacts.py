"""What a run left in its store: models, embeddings and adversarial queries, for figures."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from torch import Tensor

from benchbox.data.finding import data_folder, find_dataset
from benchbox.data.holding_out import hold_out
from benchbox.data.images import load_images, to_unit
from benchbox.data.protocol import ImageRecord, ReidDataset
from benchbox.data.sources import SOURCES, Source
from benchbox.errors import BenchboxError
from benchbox.files.printable import printable
from benchbox.files.progress import Progress, silent
from benchbox.models.given import Given
from benchbox.models.given_building import restore_given
from benchbox.results.conditions import Condition
from benchbox.results.networks import Network
from benchbox.results.stages import WEIGHTS, RunStages, folder_at
from benchbox.results.stored_weights import classifier_shape, load_model, load_tensors
from benchbox.runs.opening import sources_as_set
from benchbox.runs.record import DatasetRecord
from benchbox.runs.stages.attack import sample_rows
from benchbox.runs.stages.attacked import images_file
from benchbox.untrusted.json import read_json, read_lines

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
class Artefacts(RunStages):
    """Reads a run's store and datasets, and checks them against what the run recorded.

    Everything here raises a `BenchboxError` with one sentence where a run's folder has travelled
    without its store or its datasets: then the figure that asked is left out.

    Attributes:
        given: name → given model, of the rows whose plugins were named: without it such a row has
            no model here.
        sources: name → dataset, those of plugins included.
    """

    given: Mapping[str, Given] = field(default_factory=dict)
    sources: Mapping[str, Source] = field(default_factory=lambda: SOURCES)
    _datasets: dict[str, ReidDataset] = field(default_factory=dict, repr=False)
    _networks: dict[str, Network] = field(default_factory=dict, repr=False)

    def dataset(self, name: str) -> ReidDataset:
        """Return a dataset of the run, the same to the last byte."""
        if name not in self._datasets:
            recorded = self.run.record.datasets.get(name)
            if recorded is None or recorded.root is None:
                raise BenchboxError(f"run.json does not say where {name} is.")
            root = self._root(name, recorded)
            found = self._source(name).read(root)
            if self.run.record.grid.get("validation") is True:
                found = hold_out(found)
            if found.digest != recorded.digest:
                raise BenchboxError(
                    f"{name} in {printable(root)} is not the dataset of the run: its digest "
                    "differs."
                )
            self._datasets[name] = found
        return self._datasets[name]

    def _root(self, name: str, recorded: DatasetRecord) -> Path:
        """Return where a dataset of the run is: where it was, or where this machine has it."""
        try:
            return folder_at(Path(), str(recorded.root), what=f"dataset {name} in")
        except BenchboxError as missing:
            if name not in self.sources:
                raise
            try:
                return find_dataset(
                    name, sidewalk_size=recorded.size or "tiny", sources=self.sources
                )
            except BenchboxError:
                raise missing from None

    def render_missing(self, *, workers: int, progress: Progress = silent) -> None:
        """Render the datasets of the run that can be rendered and are not on this machine.

        What cannot be rendered is missed by the figure that asks for it.
        """
        for name, recorded in self.run.record.datasets.items():
            if name not in self.sources or recorded.root is None:
                continue
            try:
                self._root(name, recorded)
            except BenchboxError:
                size = recorded.size or "tiny"
                with suppress(BenchboxError):
                    place = self.sources[name].places(data_folder(), size=size)[0]
                    self.sources[name].prepare(place, size=size, workers=workers, progress=progress)

    def _source(self, name: str) -> Source:
        """Return how a dataset of the run is read, with the run's own settings of it."""
        settings = self.run.record.grid.get("dataset")
        own = settings.get(name) if isinstance(settings, dict) else None
        return sources_as_set([name], {name: own} if isinstance(own, dict) else {}, self.sources)[
            name
        ]

    def training_log(self, cell: str) -> list[dict[str, float]]:
        """Return what the training of a cell's model logged: an entry of numbers an epoch."""
        file = self.file(cell, "train", "log.jsonl")
        return read_lines(file, dict[str, float])

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
            return {classifier_shape(self.file(cell, "train", WEIGHTS))[1]}
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
            file = self.file(cell, kind, WEIGHTS)
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
