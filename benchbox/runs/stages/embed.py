"""The embedding stage: clean gallery and queries behind a model and its guard."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from safetensors.torch import load_file
from torch import Tensor, nn
from typing_extensions import override

from benchbox.data.images import to_unit
from benchbox.data.streaming import Images
from benchbox.errors import BenchboxError
from benchbox.evaluation.embedding import embed_in_batches
from benchbox.evaluation.embedding_checks import TRIED, require_batch_independent
from benchbox.files.rows_file import writing_rows
from benchbox.models.embed import Bound, Embed, of_rows
from benchbox.models.folding import Precision, attack_ready
from benchbox.models.in_use import InUse, Use
from benchbox.runs.cost import Cost, network_in_words
from benchbox.runs.stages.base import Stage, defining_modules, parameters
from benchbox.runs.stages.data import Data, Split, TestSplit
from benchbox.runs.stages.model import ModelStage
from benchbox.runs.stages.prepare import PrepareStage
from benchbox.runs.workplace import Workplace
from defenses import Guard, PreparedGuard

SPLITS: tuple[TestSplit, TestSplit] = ("query", "gallery")


def guarded(model: nn.Module, guard: Guard | None, ids: tuple[Tensor, ...]) -> Embed:
    """Return a model behind a guard, bound to the ids its images come with, if it takes any."""

    def embed(images: Tensor, *ids: Tensor) -> Tensor:
        embeddings: Tensor = model(images if guard is None else guard(images), *ids)
        return embeddings

    return Bound(embed, ids) if ids else embed


@dataclass(frozen=True)
class EmbedStage(Stage):
    """Embed clean gallery and queries of a test set with a model behind its guard.

    Attributes:
        network: the stage that gives the model: trained here, or given.
        data: the test set, whose query and gallery are embedded.
        guard: stands before the model, for queries and gallery alike.
        prepared: the stage that makes what the guard stands on, if it stands on something.
        use: how a trained model is used; a given one says so itself.
    """

    kind: ClassVar[str] = "embed"
    code: ClassVar[tuple[str, ...]] = (
        "benchbox.data",
        "benchbox.evaluation.embedding",
        "benchbox.evaluation.embedding_checks",
        "benchbox.evaluation.portions",
        "benchbox.models",
        "benchbox.runs.stages.embed_shard",
    )

    network: ModelStage
    data: Data
    guard: Guard | None
    prepared: PrepareStage | None = None
    use: Use = field(default_factory=Use)

    @property
    @override
    def title(self) -> str:
        guard = f" behind {type(self.guard).__name__}" if self.guard else ""
        return f"embed {self.data.name} · {self.network.label}{guard} · seed {self.network.seed}"

    @property
    @override
    def needs(self) -> tuple[Stage, ...]:
        return (self.network, self.prepared) if self.prepared else (self.network,)

    @property
    @override
    def cost(self) -> Cost:
        counts = self.data.counts
        images = counts.query_images + counts.gallery_images
        return Cost(network=self.passed(), embedded=images, loads=len(SPLITS))

    def passed(self, *, precision: Precision = "fp32") -> str:
        """Return what images pass through, as calibrations name it."""
        size = self.data.image_size
        words = network_in_words(self.network.architecture, size, self.guard, precision=precision)
        return f"{words} with mirror" if self.use.flip_test else words

    @override
    def settings(self) -> dict[str, Any]:
        return {
            "dataset": self.data.digest,
            "image_size": list(self.data.image_size),
            "interpolation": self.data.interpolation,
            "guard": parameters(self.guard) if self.guard else None,
            **({} if self.use == Use() else {"use": parameters(self.use)}),
        }

    @override
    def extra_code(self) -> set[str]:
        return defining_modules(self.guard) if self.guard else set()

    def embed(self, place: Workplace, split: Split, *, precision: Precision = "fp32") -> Embed:
        """Return guard and model as one callable, ready to embed a split with or to attack it."""
        network = self.network.model(place).to(place.device)
        model: nn.Module = attack_ready(network, precision=precision)
        if self.use != Use():
            model = InUse(model, self.use)
        return guarded(model, self._ready(place), self.network.ids(self.data, place, split))

    def _ready(self, place: Workplace) -> Guard | None:
        """Return the guard as it is called, with what was prepared for it."""
        if self.prepared is None or not isinstance(self.guard, PreparedGuard):
            return self.guard
        folder = place.store.folder(self.prepared.kind, self.prepared.key)
        return self.guard.ready(folder, size=self.data.image_size, device=place.device)

    @override
    def work(self, place: Workplace, folder: Path) -> None:
        counts: dict[str, int] = {s: len(self.data.records(place, s)) for s in SPLITS}
        with writing_rows(folder / "features.safetensors", counts) as file:
            for split in SPLITS:
                embed, images = self.embed(place, split), self.data.test_images(place, split)
                self.require_batch_independent(embed, images, place)
                for rows in embed_in_batches(
                    embed,
                    images,
                    batch_size=place.batch_size,
                    device=place.device,
                    progress=place.report,
                    notice=place.notice,
                ):
                    file.append(split, rows.numpy())

    def require_batch_independent(self, embed: Embed, images: Images, place: Workplace) -> None:
        """Check that the first images are embedded alone as among others.

        Raises:
            BenchboxError: they are not; the message names the stage.
        """
        few = slice(0, TRIED)
        try:
            require_batch_independent(of_rows(embed, few), to_unit(images[few].to(place.device)))
        except BenchboxError as error:
            raise BenchboxError(f"{self.title}: {error}") from error

    def features(self, place: Workplace) -> dict[str, Tensor]:
        """Return the saved ``query`` and ``gallery`` embeddings, mapped into memory, not read."""
        return load_file(place.store.folder(self.kind, self.key) / "features.safetensors")
