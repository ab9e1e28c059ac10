"""The stage of images corrupted at random, ranked in every repeat."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from safetensors.numpy import load_file, save
from typing_extensions import override

from attacks.corruption import SIDES, Side
from attacks.corruptions.drawing import Drawn
from benchbox.evaluation.lowest_of import Scored
from benchbox.files.atomic import write_bytes
from benchbox.runs.cost import Cost
from benchbox.runs.stages.corrupting import Corrupting
from benchbox.runs.stages.data import TestSplit
from benchbox.runs.workplace import Workplace

_SCORES = "scores.safetensors"
_NAMES = ("ap", "first_hit", "inp")
"""What is kept of each ranking, (R, Q), by side."""


@dataclass(frozen=True)
class CorruptStage(Corrupting):
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
            network=self.clean.passed(),
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
                split: self.embedded(
                    place, embeds[split], split, self._drawn(place, split, repeat), self._of(repeat)
                )
                for split in splits
            }
            for side, query, gallery in (
                ("query", changed["query"], clean["gallery"]),
                ("gallery", clean["query"], changed["gallery"]),
                ("both", changed["query"], changed["gallery"]),
            ):
                found[side].append(self.scored(place, query, gallery))
            place.report((repeat + 1) / self.corruption.repeats, "corruption")
        arrays = {
            f"{side} {name}": np.stack([getattr(scored, name) for scored in of_side])
            for side, of_side in found.items()
            for name in _NAMES
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
        columns = [stored[f"{side} {name}"] for name in _NAMES]
        return [Scored(*of_repeat) for of_repeat in zip(*columns, strict=True)]
