"""Which attacks of a run are split, and where."""

from collections.abc import Iterable, Iterator
from math import ceil

from benchbox.evaluation.attacking import queries_at_once
from benchbox.runs.stages import AttackShard, AttackStage, JoinStage, Stage

GRADIENTS = 250_000
"""Gradients that a shard takes where nobody says how many queries: minutes of a GPU, so that
reading the model anew is nothing beside it and not much is lost when it is killed."""


def in_shards(stages: Iterable[Stage], *, queries: int, batch_size: int) -> Iterator[Stage]:
    """Yield the stages, large attacks as shards with the stage that joins them behind.

    A shard is made of whole batches, so its images meet the same company as in one piece.

    Args:
        stages: to be done.
        queries: images in a shard, about; 0: as many as `GRADIENTS` allow.
        batch_size: images at a time.
    """
    for stage in stages:
        whole = stage if isinstance(stage, AttackStage) and stage.in_ranges else None
        shards = _shards(whole, queries, batch_size) if whole else ()
        if whole and len(shards) > 1:
            yield from shards
            yield JoinStage(whole, shards)
        else:
            yield stage


def _shards(whole: AttackStage, queries: int, batch_size: int) -> tuple[AttackShard, ...]:
    many, counts = whole.images_attacked, whole.clean.data.counts
    ranked = 0 if whole.attack.threat == "query" else counts.gallery_images
    together = queries_at_once(batch_size, ranked)
    fitting = queries or GRADIENTS / max(whole.attack.gradients(whole.budgets), 1)
    count = ceil(many / max(fitting, 1))
    step = together * ceil(many / count / together)
    return tuple(
        AttackShard(whole, start, min(start + step, many)) for start in range(0, many, step)
    )
