"""The embedding stage: clean gallery and queries behind a model and its guard."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from safetensors.torch import load_file, save
from torch import Tensor
from typing_extensions import override

from benchbox.evaluation.embedding import embed_images
from benchbox.files.atomic import write_bytes
from benchbox.models.embed import Embed
from benchbox.models.folding import Precision, attack_ready
from benchbox.runs.stages.base import Stage, defining_modules, parameters
from benchbox.runs.stages.data import Data
from benchbox.runs.stages.train import TrainStage
from benchbox.runs.workplace import Workplace
from defenses import Guard


@dataclass(frozen=True)
class EmbedStage(Stage):
    """Embed clean gallery and queries of a test set with a model behind its guard.

    Attributes:
        train: the training that gives the model its weights.
        data: the test set, whose query and gallery are embedded.
        guard: stands before the model, for queries and gallery alike.
    """

    kind: ClassVar[str] = "embed"
    code: ClassVar[tuple[str, ...]] = (
        "benchbox.data",
        "benchbox.models",
        "benchbox.evaluation.embedding",
    )

    train: TrainStage
    data: Data
    guard: Guard | None

    @property
    @override
    def title(self) -> str:
        guard = f" behind {type(self.guard).__name__}" if self.guard else ""
        return f"embed {self.data.name} · {self.train.recipe.title}{guard} · seed {self.train.seed}"

    @property
    @override
    def needs(self) -> tuple[Stage, ...]:
        return (self.train,)

    @property
    @override
    def cost(self) -> float:
        return 0.3

    @override
    def settings(self) -> dict[str, Any]:
        return {
            "dataset": self.data.digest,
            "image_size": list(self.data.image_size),
            "guard": parameters(self.guard) if self.guard else None,
        }

    @override
    def extra_code(self) -> set[str]:
        return defining_modules(self.guard) if self.guard else set()

    def embed(self, place: Workplace, *, precision: Precision = "fp32") -> Embed:
        """Return guard and model as one callable, ready to be embedded with or attacked."""
        model = attack_ready(self.train.model(place).to(place.device), precision=precision)
        guard = self.guard
        return model if guard is None else lambda images: model(guard(images))

    @override
    def work(self, place: Workplace, folder: Path) -> None:
        embed = self.embed(place)
        features = {
            split: embed_images(
                embed,
                self.data.images(place, split),
                batch_size=place.batch_size,
                device=place.device,
                progress=place.report,
            )
            for split in ("query", "gallery")
        }
        write_bytes(folder / "features.safetensors", save(features))

    def features(self, place: Workplace) -> dict[str, Tensor]:
        """Return the saved ``query`` and ``gallery`` embeddings."""
        return load_file(place.store.folder(self.kind, self.key) / "features.safetensors")
