"""The training stage: one model of one recipe and seed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from typing_extensions import override

from benchbox.errors import BenchboxError
from benchbox.files.atomic import write_json, write_text
from benchbox.files.digests import digest_of_file
from benchbox.models.registry import build_model, module_of_backbone, timm_version
from benchbox.models.reid import ReidModel
from benchbox.models.weights import digest_of_state, load_weights, save_weights
from benchbox.runs.code import methods_behind
from benchbox.runs.cost import Cost, images_an_epoch, network_in_words
from benchbox.runs.stages.base import Stage, defining_modules, parameters
from benchbox.runs.stages.data import Data
from benchbox.runs.stages.model import ReidModelStage
from benchbox.runs.stages.prepare import PrepareStage
from benchbox.runs.workplace import Workplace
from benchbox.training.checkpoint import log_text
from benchbox.training.loop import train
from benchbox.training.recipe import Recipe


@dataclass(frozen=True)
class TrainStage(ReidModelStage):
    """Train one model and save its weights.

    Attributes:
        data: the training set.
        backbone: name of the network in the model registry.
        pretrained: what the network starts from: ImageNet weights, a local file, or none.
        recipe: how it is trained, with all overrides applied.
        seed: seed of initialisation, batches and augmentation.
        parent: the stage whose weights training starts from, if the recipe says so.
        prepared: the stage that makes what the recipe trains on, if it makes something.
    """

    kind: ClassVar[str] = "train"
    code: ClassVar[tuple[str, ...]] = ("benchbox.data", "benchbox.models", "benchbox.training")

    data: Data
    backbone: str
    pretrained: bool | str
    recipe: Recipe
    seed: int
    parent: "TrainStage | None" = None
    prepared: PrepareStage | None = None

    @property
    @override
    def title(self) -> str:
        return f"train {self.recipe.title} · {self.backbone} · {self.data.name} · seed {self.seed}"

    @property
    @override
    def label(self) -> str:
        return self.recipe.title

    @property
    @override
    def architecture(self) -> str:
        return self.backbone

    @property
    @override
    def preparations(self) -> tuple[Stage, ...]:
        return (self.prepared,) if self.prepared else ()

    @property
    @override
    def needs(self) -> tuple[Stage, ...]:
        return tuple(stage for stage in (self.parent, self.prepared) if stage is not None)

    @property
    @override
    def cost(self) -> Cost:
        training = self.recipe.training
        images = training.epochs * images_an_epoch(self.data.counts, training.batch_images)
        passed = network_in_words(self.architecture, self.data.image_size)
        return Cost(network=passed, trained=images * self.recipe.step_cost, loads=1)

    @override
    def settings(self) -> dict[str, Any]:
        return {
            "dataset": self.data.digest,
            "image_size": list(self.data.image_size),
            "backbone": self.backbone,
            "timm": timm_version(),
            "initial": self._initial_weights(),
            "pretrained": self._start_weights(),
            "recipe": parameters(self.recipe),
            "seed": self.seed,
        }

    def _start_weights(self) -> bool | str:
        """Return what names the start weights on every machine: a file by its digest."""
        if isinstance(self.pretrained, bool):
            return self.pretrained
        try:
            return digest_of_file(Path(self.pretrained))
        except OSError as error:
            raise BenchboxError(
                f"pretrained = {self.pretrained!r}: the file cannot be read ({error.strerror})."
            ) from error

    @override
    def extra_code(self) -> set[str]:
        backbone = module_of_backbone(self.backbone)
        recipe = defining_modules(self.recipe)
        return methods_behind(recipe) | recipe | ({backbone} if backbone else set())

    def _initial_weights(self) -> str | None:
        """Return the digest of what a backbone of the user's starts from, which may be a file."""
        if module_of_backbone(self.backbone) is None:
            return None
        return digest_of_state(self._built(classes=1))

    def _built(self, *, classes: int) -> ReidModel:
        return build_model(
            self.backbone,
            num_classes=classes,
            pretrained=self.pretrained,
            image_size=self.data.image_size,
            seed=self.seed,
        )

    @override
    def work(self, place: Workplace, folder: Path) -> None:
        data = (self.prepared or self.data).training_set(place)
        classes = len(place.dataset(self.data.name).train_pids)
        model = self.parent.model(place) if self.parent else self._built(classes=classes)
        scratch = place.store.scratch(self.kind, self.key)
        history = train(
            self.recipe,
            model,
            data,
            seed=self.seed,
            folder=scratch,
            device=place.device,
            progress=place.report,
            notice=place.notice,
        )
        write_text(folder / "log.jsonl", log_text(history))
        save_weights(
            model,
            folder / "weights.safetensors",
            metadata={"backbone": self.backbone, "classes": str(classes), "key": self.key},
        )
        write_json(folder / "recipe.json", self.settings())

    def model(self, place: Workplace) -> ReidModel:
        """Return the trained model, on the CPU in training mode."""
        folder = place.store.folder(self.kind, self.key)
        classes = len(place.dataset(self.data.name).train_pids)
        model = build_model(
            self.backbone,
            num_classes=classes,
            pretrained=False,
            image_size=self.data.image_size,
            seed=0,
        )
        load_weights(model, folder / "weights.safetensors")
        return model
