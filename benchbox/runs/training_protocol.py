"""The two ways to train a table's rows: each as its authors published it, or all at one budget."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from typing import Any, NamedTuple

from benchbox.errors import BenchboxError
from benchbox.runs.cost import ASCENDED
from benchbox.runs.grid import Grid
from benchbox.training.recipe import Recipe
from defenses import Defense

_SCHEDULE = ("start", "training")
"""Fields of a recipe that a network and a dataset demand: not its method's."""

_LOSSES = ("label_smoothing", "triplet_margin", "ema")
"""Fields of its training that are: parameters of the losses, and of what the weights become."""


class TrainingAttack(NamedTuple):
    """How much a recipe's attack may do.

    Attributes:
        eps_255: its L∞ budget in units of 1/255, the largest where images have their own.
        passes: how often it goes forward, and backward to the pixels, for each image of a batch;
            where a preparation attacks, for each image of the training set, once.
    """

    eps_255: float
    passes: float

    def __str__(self) -> str:
        return f"{self.eps_255:g}/255, {self.passes:g} pass{'' if self.passes == 1 else 'es'}"


def training_attack(recipe: Recipe) -> TrainingAttack | None:
    """Return the attack that a recipe trains on, its own or its preparation's; None for none.

    A recipe with an attack has fields ``eps`` and ``steps``. How many images it attacks at each
    step for one of the batch is what ``step_cost`` grows by with a step: one, or more where pairs,
    triplets or the weights' perturbation are attacked as well.
    """
    for part in (recipe, recipe.preparation):
        eps, steps = getattr(part, "eps", None), getattr(part, "steps", None)
        if isinstance(eps, float) and isinstance(steps, int):
            each = _images_a_step(recipe, steps) if part is recipe else 1.0
            return TrainingAttack(round(255 * eps, 6), steps * each)
    return None


def _images_a_step(recipe: Recipe, steps: int) -> float:
    """Return how many images a step attacks for one of the batch; 1 where the cost says nothing."""
    changes: dict[str, Any] = {"steps": steps + 1}
    longer = replace(recipe, **changes)
    return round((longer.step_cost - recipe.step_cost) / ASCENDED, 6) or 1.0


def require_training_protocol(
    grid: Grid, defenses: Mapping[str, Defense], published: Mapping[str, Defense], *, where: str
) -> None:
    """Check that a grid's rows are trained as it says: ``training_protocol``.

    Args:
        grid: validated.
        defenses: name → defense as it will run.
        published: name → defense as its file has it.
        where: the grid's file, for errors.

    Raises:
        BenchboxError: they are not; the message names the rows and what to do.
    """
    where = f'{where}: training_protocol: "{grid.training_protocol}"'
    if grid.training_protocol != "as published" and grid.deviations:
        raise BenchboxError(
            f'{where}: [deviations] are from what was published: set "as published", or leave '
            "them out."
        )
    rows = {name: (defenses[name], published[name]) for name in grid.defenses}
    if grid.training_protocol == "equal budget":
        _require_one_attack({name: ours for name, (ours, _) in rows.items()}, where)
    elif grid.training_protocol == "as published":
        _require_listed(grid, rows, where)


def _require_one_attack(rows: Mapping[str, Defense], where: str) -> None:
    by_attack: dict[TrainingAttack, list[str]] = {}
    for name, defense in rows.items():
        attack = training_attack(defense.recipe) if defense.recipe else None
        if attack is not None:
            by_attack.setdefault(attack, []).append(name)
    if len(by_attack) > 1:
        found = "; ".join(f"{', '.join(names)}: {each}" for each, names in by_attack.items())
        raise BenchboxError(
            f"{where}: rows that train on attacks differ in eps or passes: {found}. Set eps and "
            "steps alike in [defended] or [recipe.<name>], or leave rows out."
        )


def _require_listed(grid: Grid, rows: Mapping[str, tuple[Defense, Defense]], where: str) -> None:
    changed: dict[str, set[str]] = {}
    for ours, theirs in rows.values():
        if ours.recipe is not None and theirs.recipe is not None:
            changed.setdefault(ours.recipe.name, set()).update(_changed(ours.recipe, theirs.recipe))
        if ours.guard is not None:
            guard = {"guard"} if ours.guard != theirs.guard else set()
            changed.setdefault(ours.name, set()).update(guard)
    unlisted = [
        f"{name} ({', '.join(sorted(keys))})"
        for name, keys in changed.items()
        if keys and name not in grid.deviations
    ]
    if unlisted:
        raise BenchboxError(
            f"{where}: the grid changes {'; '.join(unlisted)}. Leave that as it was published, or "
            "say in [deviations] what is changed and why."
        )
    idle = [name for name in grid.deviations if changed.get(name) == set()]
    if idle:
        raise BenchboxError(
            f"{where}: [deviations]: nothing of {', '.join(idle)} is changed; leave it out."
        )


def _changed(ours: Recipe, theirs: Recipe) -> Iterator[str]:
    """Yield the fields of a recipe's method that differ, those of its losses included."""
    for field in fields(theirs):
        if field.name not in _SCHEDULE and getattr(ours, field.name) != getattr(theirs, field.name):
            yield field.name
    for name in _LOSSES:
        if getattr(ours.training, name) != getattr(theirs.training, name):
            yield f"training.{name}"
