"""The replaying stage: adversarial queries made on one model, shown to another."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

from safetensors.torch import load_file, save
from torch import Tensor
from typing_extensions import override

from attacks import AnyAttack
from benchbox.data.streaming import AtSize
from benchbox.evaluation.embedding import embed_images
from benchbox.files.atomic import write_bytes
from benchbox.runs.cost import Cost
from benchbox.runs.stages.attack import AttackStage
from benchbox.runs.stages.base import Stage
from benchbox.runs.stages.embed import EmbedStage
from benchbox.runs.workplace import Workplace


@dataclass(frozen=True)
class ReplayStage(Stage):
    """Embed a source's adversarial queries with a target that took no part in making them.

    This is the black-box attack by transfer: who makes the perturbations knows the queries and
    their identities, but not the model that is attacked.

    Attributes:
        clean: the target's embeddings, which give its model, guard and data.
        source: the attack on the other model, on the same queries, with all its images kept.
    """

    kind: ClassVar[str] = "replay"
    code: ClassVar[tuple[str, ...]] = (
        "benchbox.data",
        "benchbox.models",
        "benchbox.evaluation.embedding",
        "benchbox.evaluation.portions",
    )

    clean: EmbedStage
    source: AttackStage

    @property
    def attack(self) -> AnyAttack[Any]:
        """The attack, as it was made on the source."""
        return self.source.attack

    @property
    def budgets(self) -> tuple[Fraction, ...]:
        """The budgets at which the queries were attacked."""
        return self.source.budgets

    @property
    @override
    def title(self) -> str:
        shown = self.clean.title.removeprefix("embed ")
        return f"{self.source.title} shown to {shown}"

    @property
    @override
    def needs(self) -> tuple[Stage, ...]:
        return (self.clean, *self.clean.needs, self.source)

    @property
    @override
    def cost(self) -> Cost:
        shown = self.clean.data.counts.query_images * len(self.budgets)
        return Cost(network=self.clean.passed(), embedded=shown, loads=1)

    @override
    def settings(self) -> dict[str, Any]:
        return {}

    @override
    def extra_code(self) -> set[str]:
        return self.clean.extra_code()

    @override
    def work(self, place: Workplace, folder: Path) -> None:
        embed = self.clean.embed(place, "query")
        features = {}
        for index, budget in enumerate(self.budgets):
            features[str(budget)] = embed_images(
                embed,
                AtSize(self.source.images(place, budget), self.clean.data.image_size),
                batch_size=place.batch_size,
                device=place.device,
                notice=place.notice,
            )
            place.report((index + 1) / len(self.budgets), self.attack.title)
        write_bytes(folder / "features.safetensors", save(features))

    def features(self, place: Workplace, budget: Fraction) -> Tensor:
        """Return the target's embeddings of the queries attacked at ``budget``."""
        folder = place.store.folder(self.kind, self.key)
        return load_file(folder / "features.safetensors")[str(budget)]

    def deepest(self, place: Workplace, budget: Fraction) -> Tensor:
        """Return the same: whoever knows another model has one image of each query to show."""
        return self.features(place, budget)

    def draws(self, place: Workplace) -> int:
        """Return how many draws of the source were met: 1, or more where two passes differ."""
        return self.source.draws(place)

    def lone_queries(self, place: Workplace) -> int:
        """Return how many queries are the only one of their identity."""
        return self.source.lone_queries(place)
