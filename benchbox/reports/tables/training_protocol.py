"""How a table's rows were trained beside each other, in words, and its columns of cost."""

from benchbox.reports.tables.wording import MISSING
from benchbox.results.measurements import Group, Measurements
from benchbox.results.training import NOT_STATED, Model, TrainingSaid
from benchbox.tables.table import Header

COST_COLUMNS = (Header("passes"), Header("seconds"))
"""Under “Training”: passes a training step, and seconds a model."""


def protocol_sentence(said: TrainingSaid) -> str:
    """Return which protocol a run's rows were trained by; empty where it does not say."""
    if said.protocol == NOT_STATED:
        return ""
    begins = f"Training protocol: {said.protocol}"
    if said.protocol == "equal budget":
        attacks = " and ".join(sorted(set(said.attacks.values())))
        return f"{begins}; every row that trains on attacks: {attacks} for each image."
    departs = "; ".join(f"{name}: {why}" for name, why in said.deviations.items())
    return (
        f"{begins}; each row's own attack, steps and losses; where training starts from, and its "
        f"schedule, are this grid's.{f' Deviations: {departs}.' if departs else ''}"
    )


def has_costs(cells: Measurements) -> bool:
    """Return whether the run says what the trainings of a table cost."""
    said = cells.names.training
    return any(defense in said.step_costs for _, defense in cells.expected)


def cost_texts(cells: Measurements, group: Group, defense: str) -> tuple[str, str]:
    """Return the passes of a row's training step and the seconds of its training."""
    said = cells.names.training
    passes = said.step_costs.get(defense)
    seconds = said.seconds(Model(group.train, group.backbone, defense))
    return (
        MISSING if passes is None else f"{passes:.2f}",
        MISSING if seconds is None else f"{seconds:.0f}",
    )


def cost_sentence(cells: Measurements) -> str:
    """Return how to read the columns of cost; empty where there are none."""
    if not has_costs(cells):
        return ""
    said = cells.names.training
    models = {Model(g.train, g.backbone, defense) for g, defense in cells.expected}
    devices = sorted({device for model in models for device in said.devices(model)})
    where = f", on {devices[0]}" if devices else ""
    if len(devices) > 1:
        where = f", on {' and '.join(devices)}, whose seconds do not compare"
    return (
        "Training: passes of the network forward and back that a step takes, an attack's step "
        "counting as two thirds; seconds a model, preparation included and the weights it starts "
        f"from not, mean over seeds{where}, as each took beside what ran there too."
    )
