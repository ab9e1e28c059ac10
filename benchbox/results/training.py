"""How a run's rows were trained beside each other, and what that cost, as its record says."""

import statistics
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from benchbox.files.printable import printable
from benchbox.runs.record import RunRecord, TrainingRecord

NOT_STATED = "not stated"


class Model(NamedTuple):
    """A row of a table before it is tested: the models of all seeds."""

    train: str
    backbone: str
    defense: str


@dataclass(frozen=True)
class TrainingSaid:
    """What a run says of its trainings; nothing of older runs, which do not say.

    Attributes:
        protocol: ``as published``, ``equal budget`` or ``not stated``.
        deviations: recipe or defense → what departs from it, and why.
        step_costs: defense → passes forward and back to the weights that a training step takes.
        attacks: defense → its attack in training, as ``8/255, 3 passes``.
        trainings: of each model that was trained.
    """

    protocol: str = NOT_STATED
    deviations: dict[str, str] = field(default_factory=dict)
    step_costs: dict[str, float] = field(default_factory=dict)
    attacks: dict[str, str] = field(default_factory=dict)
    trainings: tuple[TrainingRecord, ...] = ()

    def seconds(self, model: Model) -> float | None:
        """Return the mean over the seeds that are done; None where none is."""
        found = [t.seconds for t in self._of(model) if t.seconds is not None]
        return statistics.fmean(found) if found else None

    def devices(self, model: Model) -> set[str]:
        """Return what its trainings ran on."""
        return {device for training in self._of(model) for device in training.devices}

    def _of(self, model: Model) -> list[TrainingRecord]:
        return [t for t in self.trainings if Model(t.train, t.backbone, t.defense) == model]


def training_said(record: RunRecord) -> TrainingSaid:
    """Return what a record says, which may be a stranger's."""
    protocol = record.grid.get("training_protocol")
    deviations = record.grid.get("deviations")
    steps = {
        name: described["training"]
        for name, described in record.defenses.items()
        if isinstance(described, dict) and isinstance(described.get("training"), dict)
    }
    costs = {name: step.get("step_cost") for name, step in steps.items()}
    attacks = {name: attack_in_words(step.get("attack")) for name, step in steps.items()}
    return TrainingSaid(
        protocol=printable(protocol) if isinstance(protocol, str) else NOT_STATED,
        deviations={printable(k): printable(v) for k, v in deviations.items()}
        if isinstance(deviations, dict)
        else {},
        step_costs={name: float(c) for name, c in costs.items() if isinstance(c, int | float)},
        attacks={name: text for name, text in attacks.items() if text},
        trainings=tuple(record.trainings),
    )


def attack_in_words(recorded: Any) -> str:
    """Return a recorded attack in training as ``8/255, 3 passes``; empty for none."""
    match recorded:
        case {"eps_255": int() | float() as eps, "passes": int() | float() as passes}:
            return f"{eps:g}/255, {passes:g} pass{'' if passes == 1 else 'es'}"
    return ""
