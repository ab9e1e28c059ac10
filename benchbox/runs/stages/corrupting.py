"""What the stages of corrupted images share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from torch import Tensor
from typing_extensions import override

from attacks.corruption import Corruption
from attacks.corruptions.drawing import Drawn
from benchbox.evaluation.average_precision import ApConvention
from benchbox.evaluation.embedding import embed_images
from benchbox.evaluation.lowest_of import Scored
from benchbox.evaluation.retrieval import evaluate_retrieval
from benchbox.models.embed import Embed
from benchbox.runs.stages.base import Stage, parameters
from benchbox.runs.stages.corrupted_images import CorruptedImages
from benchbox.runs.stages.data import TestSplit
from benchbox.runs.stages.embed import EmbedStage
from benchbox.runs.workplace import Workplace


@dataclass(frozen=True)
class Corrupting(Stage):
    """Embeds corrupted images and ranks them; what is corrupted how is its children's to say.

    Attributes:
        clean: the clean embeddings, which give model, guard and data.
        corruption: what may happen to an image.
        seed: of all draws; those of different models with one seed are the same.
        ap: the convention of average precision.
    """

    clean: EmbedStage
    corruption: Corruption
    seed: int
    ap: ApConvention

    code: ClassVar[tuple[str, ...]] = (
        "attacks.corruptions",
        "benchbox.data",
        "benchbox.models",
        "benchbox.evaluation",
        "benchbox.runs.stages.corrupted_images",
    )

    @property
    @override
    def needs(self) -> tuple[Stage, ...]:
        return (self.clean, self.clean.network)

    @override
    def settings(self) -> dict[str, Any]:
        data = self.clean.data
        return {
            "corruption": parameters(self.corruption),
            "seed": self.seed,
            "ap": self.ap,
            **({"same_camera": data.same_camera} if data.same_camera != "ignore" else {}),
        }

    @override
    def extra_code(self) -> set[str]:
        return {"attacks.corruption", __name__, *self.clean.extra_code()}

    def embedded(
        self,
        place: Workplace,
        embed: Embed,
        split: TestSplit,
        drawn: Sequence[Drawn],
        chance: tuple[object, ...],
    ) -> Tensor:
        """Return the embeddings of a split's images, each corrupted as drawn."""
        data = self.clean.data
        records = data.records(place, split)
        size, interpolation = data.image_size, data.interpolation
        images = CorruptedImages(records, drawn, chance, size, interpolation)
        return embed_images(
            embed,
            images,
            batch_size=place.batch_size,
            device=place.device,
            notice=place.notice,
        )

    def scored(self, place: Workplace, query: Tensor, gallery: Tensor) -> Scored:
        """Return how queries (Q, D) retrieve in a gallery (G, D), corrupted or not."""
        data = self.clean.data
        pids = [[each.pid for each in data.records(place, s)] for s in ("query", "gallery")]
        camids = [data.camids(place, "query"), data.camids(place, "gallery")]
        labels = [np.array(values) for values in (*pids, *camids)]
        found = evaluate_retrieval(query, gallery, *labels, ap=self.ap)
        return Scored(found.ap, found.first_hit, found.inp)
