"""Which attacks and embeddings of a run are split, and where."""

from collections.abc import Iterable, Iterator
from math import ceil

from benchbox.evaluation.attacking import queries_at_once
from benchbox.runs.stages import (
    AttackShard,
    AttackStage,
    EmbedJoin,
    EmbedShard,
    EmbedStage,
    JoinStage,
    Stage,
)
from benchbox.runs.stages.data import TestSplit

GRADIENTS = 250_000
"""Gradients that a shard takes where nobody says how many queries: minutes of a GPU, so that
reading the model anew is nothing beside it and not much is lost when it is killed."""

EMBEDDED = 100_000
"""Images that a shard embeds where nobody says how many: likewise, and more than the test sets have
that are not blown up with distractors."""


def in_shards(
    stages: Iterable[Stage], *, queries: int, batch_size: int, images: int = 0
) -> Iterator[Stage]:
    """Yield the stages, large ones as shards with the stage that joins them behind.

    A shard is made of whole batches, so its images meet the same company as in one piece.

    Args:
        stages: to be done.
        queries: images in a shard of an attack, about; 0: as many as `GRADIENTS` allow.
        batch_size: images at a time.
        images: images in a shard of an embedding, about; 0: `EMBEDDED`.
    """
    for stage in stages:
        if isinstance(stage, AttackStage) and stage.in_ranges:
            attacked = _of_attack(stage, queries, batch_size)
            yield from (*attacked, JoinStage(stage, attacked)) if len(attacked) > 1 else (stage,)
        elif isinstance(stage, EmbedStage):
            embedded = _of_embedding(stage, images or EMBEDDED, batch_size)
            yield from (*embedded, EmbedJoin(stage, embedded)) if embedded else (stage,)
        else:
            yield stage


def _of_attack(whole: AttackStage, queries: int, batch_size: int) -> tuple[AttackShard, ...]:
    many, counts = whole.images_attacked, whole.clean.data.counts
    ranked = 0 if whole.attack.threat == "query" else counts.gallery_images
    together = queries_at_once(batch_size, ranked)
    fitting = queries or GRADIENTS / max(whole.attack.gradients(whole.budgets), 1)
    step = _step(many, fitting, together)
    return tuple(
        AttackShard(whole, start, min(start + step, many)) for start in range(0, many, step)
    )


def _of_embedding(whole: EmbedStage, fitting: int, batch_size: int) -> tuple[EmbedShard, ...]:
    """Return ranges of the queries and of the gallery; none where all images fit into one."""
    counts = whole.data.counts
    splits: dict[TestSplit, int] = {
        "query": counts.query_images,
        "gallery": counts.gallery_images,
    }
    many = sum(splits.values())
    if many <= fitting:
        return ()
    step = _step(many, fitting, batch_size)
    return tuple(
        EmbedShard(whole, start, min(start + step, own), split)
        for split, own in splits.items()
        for start in range(0, own, step)
    )


def _step(many: int, fitting: float, together: int) -> int:
    """Return how many of many images a shard has, in whole batches, all shards about alike."""
    count = ceil(many / max(fitting, 1))
    return together * ceil(many / count / together)
