"""A campaign's stages as tasks of a schedule: seconds, bytes, and attacks in shards."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchbox.runs.cost import Cost
from benchbox.runs.stages import (
    AttackStage,
    EmbedStage,
    PrepareStage,
    RankStage,
    ReplayStage,
    Stage,
    TrainStage,
)

MEGABYTE = 1e6
FLOAT = 4
"""Bytes of a number in the store."""
PER_QUERY = 64
"""Bytes that a ranking keeps of a query: AP, ranks, its name."""


@dataclass(frozen=True, kw_only=True)
class Rates:
    """What one device does in a second, and how large a network's results are.

    ``benchmarks/gpu.py`` measures the first three on a GPU. The other defaults are a ResNet50's.

    Attributes:
        trained: images, forward and backward, with the optimiser's step.
        ascended: images, forward and backward to their pixels.
        embedded: images, forward.
        pairs: of query and gallery image, ranked.
        load: seconds to start a stage: a process, a network, its weights and images.
        weights: bytes of a network's weights.
        width: of an embedding.
    """

    trained: float
    ascended: float
    embedded: float
    pairs: float = 2e8
    load: float = 10.0
    weights: float = 100 * MEGABYTE
    width: int = 2_048

    def seconds(self, cost: Cost) -> float:
        """Return how long a stage takes on one device."""
        return (
            self.load
            + cost.trained / self.trained
            + cost.ascended / self.ascended
            + cost.embedded / self.embedded
            + cost.pairs / self.pairs
        )

    def held(self, stage: Stage) -> float:
        """Return how many bytes a stage leaves in the store."""
        if isinstance(stage, TrainStage):
            return self.weights
        if isinstance(stage, PrepareStage):
            height, width = stage.data.image_size
            return 3.0 * height * width * stage.data.counts.train_images
        if isinstance(stage, EmbedStage):
            counts = stage.data.counts
            return FLOAT * self.width * (counts.query_images + counts.gallery_images)
        if isinstance(stage, RankStage):
            return PER_QUERY * stage.clean.data.counts.query_images
        if isinstance(stage, AttackStage | ReplayStage):
            queries = stage.clean.data.counts.query_images
            return FLOAT * self.width * queries * len(stage.budgets)
        return 0.0


@dataclass(frozen=True)
class Task:
    """A stage, or one of the shards it was split into.

    Attributes:
        key: names it.
        kind: of the stage: ``train``, ``attack``, ….
        title: in words.
        needs: tasks that must be done before it.
        on_device: whether it takes a device.
        seconds: on one device.
        held: bytes that it leaves in the store.
    """

    key: str
    kind: str
    title: str
    needs: tuple["Task", ...] = field(repr=False)
    on_device: bool
    seconds: float
    held: float

    @property
    def moved(self) -> float:
        """Bytes read from the store and written to it."""
        return self.held + sum(need.held for need in self.needs)


def tasks_of(
    stages: Sequence[Stage], rates: Rates, *, shard_seconds: float = math.inf
) -> list[Task]:
    """Return the stages as tasks, each once and behind those that it needs.

    Args:
        stages: each behind those it needs.
        rates: of the devices.
        shard_seconds: attacks that take longer are split into as few shards as keep below it; a
            task that takes no device and no time joins them.
    """
    made: dict[str, Task] = {}
    found: list[Task] = []
    for stage in stages:
        needs = tuple(made[need.key] for need in stage.needs)
        seconds, held = rates.seconds(stage.cost), rates.held(stage)
        shards = 1
        if stage.kind == "attack" and seconds > shard_seconds:
            shards = math.ceil((seconds - rates.load) / max(shard_seconds - rates.load, 1.0))
        if shards > 1:
            share = rates.load + (seconds - rates.load) / shards
            needs = tuple(
                Task(f"{stage.key}:{n}", "shard", stage.title, needs, True, share, held / shards)
                for n in range(shards)
            )
            found += needs
            seconds = 0.0
        task = Task(
            stage.key,
            stage.kind,
            stage.title,
            needs,
            stage.on_device and shards == 1,
            seconds,
            held,
        )
        made[stage.key] = task
        found.append(task)
    return found
