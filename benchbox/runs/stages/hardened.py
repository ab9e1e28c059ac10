"""The stage that trains a given model on from the weights it came with."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self, cast

from typing_extensions import override

from benchbox.files.atomic import write_json, write_text
from benchbox.models.given_model import GivenModel
from benchbox.models.reid import ReidModel
from benchbox.models.weights import save_weights
from benchbox.runs.code import methods_behind
from benchbox.runs.cost import ASCENDED, Cost, images_an_epoch, network_in_words
from benchbox.runs.stages.base import Stage, defining_modules, parameters
from benchbox.runs.stages.data import Data
from benchbox.runs.stages.given import GivenStage
from benchbox.runs.workplace import Workplace
from benchbox.training.checkpoint import log_text
from benchbox.training.loop import train
from benchbox.training.recipe import Recipe


class _Evaluated(GivenModel):
    """A given model that is embedded in training as it is in the tables: in evaluation mode."""

    @override
    def train(self, mode: bool = True) -> Self:
        return super().train(mode=False)


@dataclass(frozen=True)
class HardenedStage(GivenStage):
    """Train a given model by a recipe that asks for embeddings alone; then try it as it came.

    Its artefact is a given model's: weights for the same builder. So whoever uses a given model
    uses this one.

    Attributes:
        parent: the model as it came.
        recipe: how it is trained, with all overrides applied.
        trained_on: the training set.
    """

    code: ClassVar[tuple[str, ...]] = (
        *GivenStage.code,
        "benchbox.training",
        "benchbox.runs.stages.given",
    )

    parent: GivenStage
    recipe: Recipe
    trained_on: Data

    @property
    @override
    def title(self) -> str:
        return (
            f"harden {self.name} by {self.recipe.title} · {self.trained_on.name} · seed {self.seed}"
        )

    @property
    @override
    def needs(self) -> tuple[Stage, ...]:  # type: ignore[override]
        return (self.parent,)

    @property
    @override
    def architecture(self) -> str:
        return self.parent.architecture

    @property
    @override
    def cost(self) -> Cost:
        training = self.recipe.training
        images = training.epochs * images_an_epoch(self.trained_on.counts, training.batch_images)
        # A given network's training is not measured; its gradients to the pixels are.
        return Cost(
            network=network_in_words(self.architecture, self.given.image_size),
            ascended=images * self.recipe.step_cost / ASCENDED,
            loads=1,
        )

    @override
    def settings(self) -> dict[str, Any]:
        return {
            **self.given.settings(),
            "hardened": {
                "dataset": self.trained_on.digest,
                "recipe": parameters(self.recipe) | {"start": "given"},
                "seed": self.seed,
            },
        }

    @override
    def extra_code(self) -> set[str]:
        recipe = defining_modules(self.recipe)
        return super().extra_code() | methods_behind(recipe) | recipe

    @override
    def work(self, place: Workplace, folder: Path) -> None:
        model = _Evaluated(self.parent.model(place).model, self.given).eval()
        for parameter in model.parameters():
            parameter.requires_grad_(parameter.is_floating_point())
        history = train(
            self.recipe,
            cast(ReidModel, model),  # what `Fare` asks for, both have
            self.trained_on.training_set(place),
            seed=self.seed,
            folder=place.store.scratch(self.kind, self.key),
            device=place.device,
            progress=place.report,
            notice=place.notice,
        )
        model.requires_grad_(requires_grad=False)
        write_text(folder / "log.jsonl", log_text(history))
        metadata = {"given": self.name, "key": self.key}
        save_weights(model.model, folder / "weights.safetensors", metadata=metadata)
        width = self._tried(model, place)
        write_json(
            folder / "given.json",
            {
                **self.settings(),
                **self._builder(),
                "embedding": width,
                "weights": None,
                "weights_sha256": None,
            },
        )
