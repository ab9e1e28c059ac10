"""What making a model costs: passes of a training step, counted, and seconds, as recorded."""

from collections.abc import Iterator
from typing import Any

from benchbox.runs.plan import Plan
from benchbox.runs.record import TrainingRecord
from benchbox.runs.stages import EmbedStage, HardenedStage, TrainStage
from benchbox.runs.store import Store
from benchbox.runs.training_protocol import training_attack
from benchbox.training.recipe import Recipe


def step_in_numbers(recipe: Recipe) -> dict[str, Any]:
    """Return what a training step costs, as JSON.

    ``step_cost`` is in passes forward and back to the weights, of which a vanilla step has one and
    a pass to the pixels is two thirds; ``attack`` is None where nothing is attacked.
    """
    attack = training_attack(recipe)
    return {
        "step_cost": recipe.step_cost,
        "epochs": recipe.training.epochs,
        "attack": None if attack is None else attack._asdict(),
    }


def trainings(plan: Plan, store: Store) -> Iterator[TrainingRecord]:
    """Yield how long each trained model of a plan took, as far as it is done."""
    found: dict[tuple[str, str, str, int], EmbedStage] = {}
    for cell in plan.cells:
        place = (cell.train_dataset, cell.backbone, cell.defense, cell.seed)
        if isinstance(cell.rank.clean.network, TrainStage | HardenedStage):
            found.setdefault(place, cell.rank.clean)
    for (train, backbone, defense, seed), clean in found.items():
        stages = [clean.network, *clean.network.preparations, clean.prepared]
        manifests = [store.recorded(s.kind, s.key) for s in stages if s is not None]
        done = [manifest for manifest in manifests if manifest is not None]
        yield TrainingRecord(
            train=train,
            backbone=backbone,
            defense=defense,
            seed=seed,
            seconds=sum(m.seconds for m in done) if len(done) == len(manifests) else None,
            devices=sorted({manifest.device for manifest in done}),
        )
