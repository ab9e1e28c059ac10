"""The stages of corrupted images: drawn at random, and every corruption at every severity."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from safetensors.numpy import load_file, save
from torch import Tensor
from typing_extensions import override

from attacks.corruption import SIDES, Corruption, Side
from attacks.corruptions.drawing import Drawn
from benchbox.evaluation.average_precision import ApConvention, Floats
from benchbox.evaluation.corrupting import CorruptedImages, embed_corrupted
from benchbox.evaluation.lowest_of import Scored
from benchbox.evaluation.ranking import Ints
from benchbox.evaluation.retrieval import evaluate_retrieval
from benchbox.files.atomic import write_bytes, write_json
from benchbox.models.embed import Embed
from benchbox.runs.cost import Cost
from benchbox.runs.stages.base import Stage, parameters
from benchbox.runs.stages.data import TestSplit
from benchbox.runs.stages.embed import EmbedStage
from benchbox.runs.workplace import Workplace

_CODE = ("benchbox.data", "benchbox.models", "benchbox.evaluation", "attacks.corruptions")

_SCORES = "scores.safetensors"
"""AP and rank of the first match of each query, (R, Q), by side."""


@dataclass(frozen=True)
class _Corrupting(Stage):
    """What both stages share.

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

    code: ClassVar[tuple[str, ...]] = _CODE

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
        return {"attacks.corruption", *self.clean.extra_code()}

    def _embedded(
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
        return embed_corrupted(embed, images, batch_size=place.batch_size, device=place.device)

    def _scored(self, place: Workplace, query: Tensor, gallery: Tensor) -> Scored:
        data = self.clean.data
        pids = [[each.pid for each in data.records(place, s)] for s in ("query", "gallery")]
        camids = [data.camids(place, "query"), data.camids(place, "gallery")]
        labels = [np.array(values) for values in (*pids, *camids)]
        found = evaluate_retrieval(query, gallery, *labels, ap=self.ap)
        return Scored(found.ap, found.first_hit)


@dataclass(frozen=True)
class CorruptStage(_Corrupting):
    """Corrupt queries and gallery at random, repeat by repeat, and rank all three ways."""

    kind: ClassVar[str] = "corrupt"

    @property
    @override
    def title(self) -> str:
        return f"corruption on {self.clean.title.removeprefix('embed ')}"

    @property
    @override
    def cost(self) -> Cost:
        counts, repeats = self.clean.data.counts, self.corruption.repeats
        return Cost(
            network=self.clean.passed,
            embedded=repeats * (counts.query_images + counts.gallery_images),
            pairs=repeats * len(SIDES) * counts.query_images * counts.gallery_images,
            loads=2,
        )

    @override
    def work(self, place: Workplace, folder: Path) -> None:
        clean = self.clean.features(place)
        splits: tuple[TestSplit, TestSplit] = ("query", "gallery")
        embeds = {split: self.clean.embed(place, split) for split in splits}
        found: dict[str, list[Scored]] = {side: [] for side in SIDES}
        for repeat in range(self.corruption.repeats):
            changed = {
                split: self._embedded(
                    place, embeds[split], split, self._drawn(place, split, repeat), self._of(repeat)
                )
                for split in splits
            }
            for side, query, gallery in (
                ("query", changed["query"], clean["gallery"]),
                ("gallery", clean["query"], changed["gallery"]),
                ("both", changed["query"], changed["gallery"]),
            ):
                found[side].append(self._scored(place, query, gallery))
            place.report((repeat + 1) / self.corruption.repeats, "corruption")
        arrays = {
            f"{side} {name}": np.stack([getattr(scored, name) for scored in of_side])
            for side, of_side in found.items()
            for name in ("ap", "first_hit")
        }
        write_bytes(folder / _SCORES, save(arrays))

    def _drawn(self, place: Workplace, split: TestSplit, repeat: int) -> list[Drawn]:
        records = self.clean.data.records(place, split)
        return [self.corruption.draw(*self._of(repeat), record.key) for record in records]

    def _of(self, repeat: int) -> tuple[object, ...]:
        return self.seed, repeat

    def repeats(self, place: Workplace, side: Side) -> list[Scored]:
        """Return how the queries retrieved in each repeat."""
        stored = load_file(place.store.folder(self.kind, self.key) / _SCORES)
        ap: Floats = stored[f"{side} ap"]
        first_hit: Ints = stored[f"{side} first_hit"]
        return [Scored(*both) for both in zip(ap, first_hit, strict=True)]


@dataclass(frozen=True)
class SweepStage(_Corrupting):
    """Corrupt all queries by each corruption at each severity, the gallery being clean."""

    kind: ClassVar[str] = "sweep"

    @property
    @override
    def title(self) -> str:
        return f"each corruption on {self.clean.title.removeprefix('embed ')}"

    @property
    @override
    def cost(self) -> Cost:
        counts, each = self.clean.data.counts, len(self.corruption.each)
        return Cost(
            network=self.clean.passed,
            embedded=each * counts.query_images,
            pairs=each * counts.query_images * counts.gallery_images,
            loads=1,
        )

    @override
    def settings(self) -> dict[str, Any]:
        found = super().settings()
        del found["corruption"]["repeats"]
        return found

    @override
    def work(self, place: Workplace, folder: Path) -> None:
        gallery = self.clean.features(place)["gallery"]
        embed = self.clean.embed(place, "query")
        queries = len(self.clean.data.records(place, "query"))
        lines = []
        for number, drawn in enumerate(self.corruption.each, start=1):
            chance = (self.seed, "each")
            query = self._embedded(place, embed, "query", [drawn] * queries, chance)
            scored = self._scored(place, query, gallery)
            lines.append(
                {
                    "corruption": drawn.corruption,
                    "severity": drawn.severity,
                    "mAP": 100 * scored.mAP,
                    "rank1": 100 * scored.rank(1),
                    "queries": int(scored.valid.sum()),
                    "gallery": len(gallery),
                }
            )
            place.report(number / len(self.corruption.each), drawn.corruption)
        write_json(folder / "sweep.json", lines)

    def lines(self, place_folder: Path) -> list[dict[str, Any]]:
        """Return what was measured: a line for each corruption and severity.

        Args:
            place_folder: of this stage in the store.
        """
        found: list[dict[str, Any]] = json.loads((place_folder / "sweep.json").read_text())
        return found
