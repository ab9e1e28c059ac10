"""What a run left in its store: models, embeddings and adversarial queries, for figures."""

import json
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from benchbox.data.holding_out import hold_out
from benchbox.data.images import load_images, to_unit
from benchbox.data.protocol import ImageRecord, ReidDataset
from benchbox.data.reading import read_dataset
from benchbox.errors import BenchboxError
from benchbox.models.registry import build_model
from benchbox.models.reid import ReidModel
from benchbox.models.weights import load_weights
from benchbox.reports.conditions import Condition
from benchbox.reports.run_folder import RunFolder
from benchbox.runs.stages.attack import images_file, sample_rows
from benchbox.runs.store import Store


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
        root = self.run.path / Path(self.run.record.store).expanduser()
        if not root.is_dir():
            raise BenchboxError(f"the run's store {root} is not on this machine.")
        return Store(root)

    def folder(self, cell: str, kind: str) -> Path:
        """Return the folder of the finished, undamaged stage that a cell's number came from."""
        record = self.run.record.cells.get(cell)
        key = record.stages.get(kind) if record else None
        if key is None:
            raise BenchboxError(f"run.json names no {kind} stage for cell {cell}.")
        if self.store.manifest(kind, key) is None:
            raise BenchboxError(
                f"the store has no undamaged {kind} stage {key[:20]}; run the grid again."
            )
        return self.store.folder(kind, key)

    def dataset(self, name: str) -> ReidDataset:
        """Return a dataset of the run, the same to the last byte."""
        if name not in self._datasets:
            recorded = self.run.record.datasets.get(name)
            if recorded is None or recorded.root is None:
                raise BenchboxError(f"run.json does not say where {name} is.")
            found = read_dataset(Path(recorded.root).expanduser(), name=name)
            if self.run.record.grid.get("validation") is True:
                found = hold_out(found)
            if found.digest != recorded.digest:
                raise BenchboxError(
                    f"{name} in {recorded.root} is not the dataset of the run: its digest differs."
                )
            self._datasets[name] = found
        return self._datasets[name]

    def features(self, cell: str) -> dict[str, Tensor]:
        """Return the clean embeddings of a cell's model, ``query`` and ``gallery``."""
        return load_file(self.folder(cell, "embed") / "features.safetensors")

    def attacked_features(self, cell: str, condition: Condition) -> Tensor:
        """Return the (Q, D) embeddings of the queries as attacked in a cell."""
        budget = _fraction(condition)
        return load_file(self.folder(cell, "attack") / "features.safetensors")[str(budget)]

    def attacked(self, cell: str, condition: Condition, *, queries: int) -> Attacked:
        """Return the adversarial queries that the store holds: all, or a sample of them."""
        file = self.folder(cell, "attack") / images_file(_fraction(condition))
        if not file.is_file():
            raise BenchboxError("the store holds no adversarial queries; run the grid again.")
        images = load_file(file)["images"]
        rows = list(range(queries)) if len(images) == queries else sample_rows(queries)
        if len(rows) != len(images):
            raise BenchboxError(f"{file}: holds {len(images)} adversarial queries of {queries}.")
        return Attacked(rows, images)

    def model(self, cell: str) -> ReidModel:
        """Return a cell's trained model, in evaluation mode."""
        folder = self.folder(cell, "train")
        settings = json.loads((folder / "recipe.json").read_text())
        file = folder / "weights.safetensors"
        try:
            with safe_open(file, framework="pt", device="cpu") as weights:
                classes = weights.get_slice("classifier.weight").get_shape()[0]
        except (SafetensorError, OSError) as error:
            raise BenchboxError(f"{file}: damaged ({error}); run the grid again.") from error
        model = build_model(
            settings["backbone"], num_classes=classes, image_size=self.image_size(cell)
        )
        load_weights(model, file)
        return model.eval()

    def image_size(self, cell: str) -> tuple[int, int]:
        """Return (height, width) of the images a cell's model was fed with."""
        settings = json.loads((self.folder(cell, "train") / "recipe.json").read_text())
        height, width = settings["image_size"]
        return int(height), int(width)

    def images(self, cell: str, records: list[ImageRecord]) -> Tensor:
        """Return some images as a cell's model sees them, (N, 3, H, W) in [0, 1]."""
        return to_unit(load_images(tuple(records), size=self.image_size(cell)))

    def guard(self, defense: str) -> Any:
        """Return what stands before a defense's model, as run.json describes it, or None."""
        described = self.run.record.defenses.get(defense)
        return described.get("guard") if isinstance(described, dict) else None


def _fraction(condition: Condition) -> Fraction:
    """Return a condition's budget as the grid wrote it."""
    return Fraction(condition.eps_255).limit_denominator(10**6) / 255
