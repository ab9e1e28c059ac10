"""The preparing stage: what a recipe makes from the training set before it trains."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from typing_extensions import override

from benchbox.runs.code import methods_behind
from benchbox.runs.cost import Cost, network_in_words
from benchbox.runs.stages.base import Stage, defining_modules, parameters
from benchbox.runs.stages.data import Data
from benchbox.runs.stages.model import ReidModelStage
from benchbox.runs.workplace import Workplace
from benchbox.training.preparation import Ingredients, Preparation
from benchbox.training.training_set import TrainingSet


@dataclass(frozen=True)
class PrepareStage(Stage):
    """Make a recipe's artefact, such as a balanced training set.

    Attributes:
        data: the training set.
        preparation: with all its parameters.
        vanilla: the trained model it starts from, if it asks for one.
    """

    kind: ClassVar[str] = "prepare"
    code: ClassVar[tuple[str, ...]] = ("benchbox.data", "benchbox.models", "benchbox.training")

    data: Data
    preparation: Preparation
    vanilla: ReidModelStage | None = None

    @property
    @override
    def title(self) -> str:
        seed = f" · seed {self.vanilla.seed}" if self.vanilla else ""
        return f"{self.preparation.title} · {self.data.name}{seed}"

    @property
    @override
    def needs(self) -> tuple[Stage, ...]:
        return (self.vanilla,) if self.vanilla else ()

    @property
    @override
    def cost(self) -> Cost:
        images = self.preparation.cost * self.data.counts.train_images
        if self.vanilla is None:
            return Cost(trained=images)
        passed = network_in_words(self.vanilla.architecture, self.data.image_size)
        return Cost(network=passed, trained=images, loads=1)

    @override
    def settings(self) -> dict[str, Any]:
        return {
            "dataset": self.data.digest,
            "image_size": list(self.data.image_size),
            "preparation": parameters(self.preparation),
        }

    @override
    def extra_code(self) -> set[str]:
        preparation = defining_modules(self.preparation)
        return methods_behind(preparation) | preparation

    @override
    def work(self, place: Workplace, folder: Path) -> None:
        vanilla = self.vanilla.model(place).to(place.device) if self.vanilla else None
        given = Ingredients(
            records=self.data.records(place, "train"),
            data=self.data.training_set(place),
            vanilla=vanilla,
            device=place.device,
            batch_size=place.batch_size,
            scratch=place.store.scratch(self.kind, self.key),
            progress=place.report,
        )
        self.preparation.make(given, folder)

    def training_set(self, place: Workplace) -> TrainingSet:
        """Return what a recipe trains on, once the artefact is in the store."""
        return self.preparation.training_set(
            self.data.records(place, "train"),
            self.data.training_set(place),
            place.store.folder(self.kind, self.key),
        )
