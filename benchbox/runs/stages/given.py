"""The given stage: stands where training stands, for a model that exists already."""

import json
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor
from typing_extensions import override

from benchbox.data.images import to_unit
from benchbox.errors import BenchboxError
from benchbox.evaluation.embedding_checks import (
    TRIED,
    require_batch_independent,
    require_deterministic,
    require_gradient,
    require_vectors,
)
from benchbox.files.atomic import write_json
from benchbox.files.digests import digest_of_file
from benchbox.files.foreign import FAILURES, in_words
from benchbox.models.embed import Bound
from benchbox.models.given import Given
from benchbox.models.given_building import build_given, restore_given
from benchbox.models.given_model import GivenModel, ids_for
from benchbox.models.weights import digest_of_state, save_weights
from benchbox.runs.cost import Cost, network_in_words
from benchbox.runs.living_model import LivingModel
from benchbox.runs.stages.data import Data, Split
from benchbox.runs.stages.model import ModelStage
from benchbox.runs.user_code import is_users
from benchbox.runs.workplace import Workplace


@dataclass(frozen=True)
class GivenStage(ModelStage):
    """Build a given model, try it once, and keep its weights.

    Its key covers the builder's code, all settings, and the values of all tensors of the built
    model, however they got there: an edited builder or another weights file is another model.

    Attributes:
        name: the row's.
        given: builder, weights and use.
        data: a test set, to try the model on.
        seed: of random starts of attacks; the model does not depend on it.
    """

    kind: ClassVar[str] = "given"
    code: ClassVar[tuple[str, ...]] = (
        "benchbox.data",
        "benchbox.models",
        "benchbox.evaluation.embedding_checks",
    )

    name: str
    given: Given
    data: Data
    seed: int

    @property
    @override
    def title(self) -> str:
        return f"try the given model {self.name}"

    @property
    @override
    def label(self) -> str:
        return self.name

    @property
    @override
    def architecture(self) -> str:
        return self.name

    @property
    @override
    def needs(self) -> tuple[()]:
        return ()

    @property
    @override
    def cost(self) -> Cost:
        passed = network_in_words(self.architecture, self.given.image_size)
        return Cost(network=passed, ascended=TRIED, embedded=4 * TRIED, loads=1)

    @override
    def settings(self) -> dict[str, Any]:
        builder = self.given.builder
        typed_in = builder.typed_in if isinstance(builder, LivingModel) else None
        return {**self.given.settings(), "tensors": self._tensors, "typed_in": typed_in}

    @cached_property
    def _tensors(self) -> str:
        """The digest of what the builder and the weights file gave."""
        return digest_of_state(self._build().model)

    @override
    def extra_code(self) -> set[str]:
        builder = self.given.builder
        if isinstance(builder, str):
            return set()
        if isinstance(builder, LivingModel):
            return builder.modules
        return {builder.__module__}

    @override
    def work(self, place: Workplace, folder: Path) -> None:
        model = self._build()
        metadata = {"given": self.name, "key": self.key}
        save_weights(model.model, folder / "weights.safetensors", metadata=metadata)
        model = model.to(place.device)
        width = self._tried(model, place)
        weights = self.given.weights
        write_json(
            folder / "given.json",
            {
                **self.settings(),
                **self._builder(),
                "embedding": width,
                "weights": None if weights is None else weights.name,
                "weights_sha256": None if weights is None else digest_of_file(weights),
            },
        )

    def _builder(self) -> dict[str, Any]:
        """Return the name and the digest of the file that builds the model, if it is a user's."""
        module = getattr(self.given.builder, "__module__", None)
        file = getattr(sys.modules.get(module), "__file__", None) if module else None
        if file is None or not is_users(Path(file).resolve()):
            return {"builder_file": None, "builder_sha256": None}
        return {"builder_file": Path(file).name, "builder_sha256": digest_of_file(Path(file))}

    def _tried(self, model: GivenModel, place: Workplace) -> int:
        """Check the model on a few queries and return the width of its embeddings."""
        few = slice(0, TRIED)
        images = to_unit(self.data.test_images(place, "query")[few].to(place.device))
        ids = self.ids(self.data, place, "query")
        embed = Bound(model, tuple(each[few] for each in ids)) if ids else model
        before = digest_of_state(model.model)
        try:
            width = require_vectors(embed, images)
            require_deterministic(embed, images)
            require_batch_independent(embed, images)
            require_gradient(embed, images)
        except FAILURES as error:
            says = str(error) if isinstance(error, BenchboxError) else self._unfit(error)
            raise BenchboxError(f"given model {self.name}: {says}") from error
        if model.training or digest_of_state(model.model) != before:
            raise BenchboxError(
                f"given model {self.name}: changes itself when it embeds (train mode, running "
                "statistics, counters); embedding must leave it as it is."
            )
        return width

    def _unfit(self, error: BaseException) -> str:
        height, width = self.given.image_size
        return f"fails on images of {height}×{width}: {in_words(error)}"

    @override
    def ids(self, data: Data, place: Workplace, split: Split) -> tuple[Tensor, ...]:
        try:
            return ids_for(self.given, data.records(place, split), place.device)
        except BenchboxError as error:
            raise BenchboxError(f"given model {self.name}: {data.name}: {error}") from error

    def _build(self) -> GivenModel:
        try:
            return build_given(self.given)
        except BenchboxError as error:
            raise BenchboxError(f"given model {self.name}: {error}") from error

    @override
    def model(self, place: Workplace) -> GivenModel:
        folder = place.store.folder(self.kind, self.key)
        width = json.loads((folder / "given.json").read_text())["embedding"]
        return restore_given(self.given, folder / "weights.safetensors", width=width)
