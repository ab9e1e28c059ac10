"""A range of the images of one embedding, and the stage that joins ranges to the whole.

As with attacks (`benchbox.runs.stages.shard`) the joined artefact has the key and the bytes of the
embedding in one piece.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from safetensors.torch import load_file
from typing_extensions import override

from benchbox.data.images import to_unit
from benchbox.evaluation.embedding import embed_in_batches
from benchbox.evaluation.embedding_checks import TRIED, is_random
from benchbox.files.atomic import write_json
from benchbox.files.rows_file import writing_rows
from benchbox.models.embed import of_rows
from benchbox.runs.cost import Cost
from benchbox.runs.stages.data import TestSplit
from benchbox.runs.stages.embed import SPLITS, EmbedStage
from benchbox.runs.stages.ranges import Join, Shard
from benchbox.runs.workplace import Workplace

_FEATURES = "features.safetensors"
_RANDOM = "random.json"
"""What a shard leaves of a model that draws: what one image is given depends on those before it."""
_COPIED = 4096
"""Rows that are joined at a time."""


@dataclass(frozen=True)
class EmbedShard(Shard):
    """Embed some of the images of one split.

    Attributes:
        whole: the embedding of all of them.
        split: which images.
        start: place of the first.
        stop: place behind the last.
    """

    code: ClassVar[tuple[str, ...]] = EmbedStage.code

    whole: EmbedStage
    split: TestSplit

    @property
    @override
    def title(self) -> str:
        return f"{self.whole.title}, {self.split} images {self.start + 1} to {self.stop}"

    @property
    @override
    def cost(self) -> Cost:
        return Cost(network=self.whole.passed(), embedded=self.stop - self.start, loads=1)

    @override
    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "split": self.split}

    @override
    def work(self, place: Workplace, folder: Path) -> None:
        rows = slice(self.start, self.stop)
        images = self.whole.data.test_images(place, self.split)
        images = replace(images, records=images.records[rows])
        embed = of_rows(self.whole.embed(place, self.split), rows)
        few, tried = of_rows(embed, slice(0, TRIED)), to_unit(images[:TRIED].to(place.device))
        if is_random(few, tried):
            write_json(folder / _RANDOM, {"random": True})
            return
        self.whole.require_batch_independent(embed, images, place)
        with writing_rows(folder / _FEATURES, {self.split: len(images)}) as file:
            for batch in embed_in_batches(
                embed,
                images,
                batch_size=place.batch_size,
                device=place.device,
                progress=place.report,
                notice=place.notice,
            ):
                file.append(self.split, batch.numpy())


@dataclass(frozen=True)
class EmbedJoin(Join):
    """Join the ranges of an embedding to its artefact; stands where the embedding itself would.

    A model that draws at random is embedded here in one piece, as the draws of an image follow
    those of all before it: only so do numbers not depend on the split.

    Attributes:
        whole: the embedding.
        shards: its ranges, split by split, in the images' order.
    """

    kind: ClassVar[str] = EmbedStage.kind
    code: ClassVar[tuple[str, ...]] = EmbedStage.code

    whole: EmbedStage
    shards: tuple[EmbedShard, ...]

    @override
    def work(self, place: Workplace, folder: Path) -> None:
        folders = [place.store.folder(shard.kind, shard.key) for shard in self.shards]
        if any((shard / _RANDOM).is_file() for shard in folders):
            self.whole.work(place, folder)
            return
        counts: dict[str, int] = {s: len(self.whole.data.records(place, s)) for s in SPLITS}
        with writing_rows(folder / _FEATURES, counts) as file:
            for shard, found in zip(self.shards, folders, strict=True):
                features = load_file(found / _FEATURES)[shard.split]
                for start in range(0, len(features), _COPIED):
                    file.append(shard.split, features[start : start + _COPIED].numpy())
