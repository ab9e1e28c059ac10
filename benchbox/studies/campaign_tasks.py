"""A campaign's stages as tasks of a schedule: the seconds they take, the bytes they leave."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from benchbox.runs.calibration import Calibration, Provenance, Rates
from benchbox.runs.stages import (
    AttackShard,
    AttackStage,
    EmbedJoin,
    EmbedShard,
    EmbedStage,
    JoinStage,
    PrepareStage,
    RankStage,
    ReplayStage,
    Stage,
    TrainStage,
)

WEIGHTS = 100e6
"""Bytes of a ResNet50's weights in the store."""
WIDTH = 2_048
"""Of a ResNet50's embedding."""
FLOAT = 4
PER_QUERY = 64
"""Bytes that a ranking keeps of a query: AP, ranks, its name."""


def assumed(
    stages: Iterable[Stage],
    *,
    trained: float,
    ascended: float,
    embedded: float,
    pairs: float = 2e8,
    load: float = 10.0,
) -> Calibration:
    """Return a calibration that nobody measured: the same rates for each network of some stages.

    Args:
        stages: of a campaign.
        trained: images a second, forward and backward, with the optimiser's step.
        ascended: images a second, forward and backward to their pixels.
        embedded: images a second, forward.
        pairs: of query and gallery image, ranked in a second.
        load: seconds to start a stage: a process, a network, its weights and images.
    """
    rates = Rates(trained=trained, ascended=ascended, embedded=embedded, load_seconds=load)
    networks = {stage.cost.network for stage in stages} - {""}
    nowhere = Provenance(
        machine="assumed", device="assumed", threads=1, clock="wall", versions={}, commit=None
    )
    return Calibration(
        provenance=nowhere,
        measured="never",
        pairs=pairs,
        networks=dict.fromkeys(sorted(networks), rates),
    )


@dataclass(frozen=True)
class Task:
    """A stage with what matters to a schedule.

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


def tasks_of(stages: Sequence[Stage], calibration: Calibration) -> list[Task]:
    """Return the stages as tasks, each behind those that it needs.

    Args:
        stages: each behind those it needs; what is not among them is done already.
        calibration: of the devices.
    """
    made: dict[str, Task] = {}
    for stage in stages:
        made[stage.key] = Task(
            stage.key,
            stage.kind,
            stage.title,
            tuple(made[need.key] for need in stage.needs if need.key in made),
            stage.on_device,
            calibration.seconds(stage.cost),
            _held(stage),
        )
    return list(made.values())


def _held(stage: Stage) -> float:
    """Return how many bytes a stage leaves in the store."""
    match stage:
        case TrainStage():
            return WEIGHTS
        case PrepareStage():
            height, width = stage.data.image_size
            return 3.0 * height * width * stage.data.counts.train_images
        case EmbedStage():
            counts = stage.data.counts
            return FLOAT * WIDTH * (counts.query_images + counts.gallery_images)
        case RankStage():
            return PER_QUERY * stage.clean.data.counts.query_images
        case AttackShard():
            return FLOAT * WIDTH * (stage.stop - stage.start) * len(stage.whole.budgets)
        case EmbedShard():
            return FLOAT * WIDTH * (stage.stop - stage.start)
        case JoinStage() | EmbedJoin():
            return _held(stage.whole)
        case AttackStage() | ReplayStage():
            return FLOAT * WIDTH * stage.clean.data.counts.query_images * len(stage.budgets)
        case _:
            return 0.0
