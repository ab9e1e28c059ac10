"""What a grid or a plugin sets that changes no number: said, not passed over in silence."""

import ast
import inspect
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from attacks.corruption import Corruption
from benchbox.data.jpeg import QUALITY
from benchbox.runs.plan import Plan
from benchbox.runs.resolving import VANILLA
from benchbox.runs.stages import HardenedStage, TrainStage
from benchbox.runs.user_code import OURS, closure_of

_GIVEN = {"eps", "generator"}
"""Fields that an attack has for direct calls; a run gives budgets and generators by itself."""

_ALL_FIELDS = {"asdict", "astuple", "fields", "vars", "__dict__"}
"""Who uses one of these may read every field without its name."""


def unused(plan: Plan) -> list[str]:
    """Return a line for what is set and has nothing to apply to, and each field nothing reads."""
    return [*_tables(plan), *_fields(plan)]


def _tables(plan: Plan) -> Iterator[str]:
    grid = plan.grid
    made = (stage for stage in plan.stages if isinstance(stage, TrainStage | HardenedStage))
    trained = {stage.recipe.name for stage in made}
    if grid.training and not trained:
        yield "[training] has nothing to apply to: no row is trained"
    if grid.jpeg_quality != QUALITY and grid.through == "nothing" and not grid.keep_adversarial:
        yield "jpeg_quality has nothing to apply to: no image passes a JPEG (through, kept images)"
    if grid.defended and not trained - {VANILLA}:
        yield f"[defended] has nothing to apply to: no row has a recipe but {VANILLA}"
    for kind, tables, used in (
        ("recipe", grid.recipe, trained),
        ("guard", grid.guard, plan.defenses),
        ("attack", grid.attack, {*plan.attacks, *([Corruption.name] if plan.corruption else [])}),
    ):
        for name in tables:
            if name not in used:
                yield f"[{kind}.{name}] has nothing to apply to: the grid does not use {name}"


def _fields(plan: Plan) -> Iterator[str]:
    for name, attack in plan.attacks.items():
        yield from _unread_lines(f"attack {name}", attack)
    for name, defense in plan.defenses.items():
        yield from _unread_lines(f"guard of {name}", defense.guard)
        yield from _unread_lines(f"recipe of {name}", defense.recipe)


def _unread_lines(what: str, value: object) -> Iterator[str]:
    for name in unread_fields(value):
        yield f"{what}: nothing in its code reads its field {name!r}, so that it changes no number"


def unread_fields(value: object) -> list[str]:
    """Return the fields of a user's dataclass that no code of theirs reads.

    What is looked for is the field's name, as an attribute or in quotes, in the files of the
    classes and in what they import. Fields that a class of ours declares are ours to read.
    """
    if not is_dataclass(value) or isinstance(value, type):
        return []
    classes = type(value).__mro__[:-1]
    ours = [kind for kind in classes if kind.__module__.partition(".")[0] in OURS]
    theirs = [kind for kind in classes if kind not in ours and "__annotations__" in vars(kind)]
    known = _GIVEN.union(*(_declared(kind) for kind in ours))
    own = {name for kind in theirs for name in _declared(kind)} - known
    names = [field.name for field in fields(value) if field.name in own]
    if not names:
        return []
    read = set[str]().union(*(_names_read(kind) for kind in theirs))
    return [] if read & _ALL_FIELDS else [name for name in names if name not in read]


def _declared(kind: type[Any]) -> set[str]:
    return set(vars(kind).get("__annotations__", ()))


def _names_read(kind: type[Any]) -> set[str]:
    """Return all attributes and words in quotes in a class's file and the user's it imports."""
    try:
        file = Path(inspect.getfile(kind))
        files = {file, *closure_of(file).files}
        trees = [ast.parse(each.read_text("utf-8")) for each in files if each.suffix == ".py"]
    except (OSError, TypeError, ValueError):  # a class without a file, as typed at a prompt
        return set(_ALL_FIELDS)
    found: set[str] = set()
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            found.add(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)
        elif isinstance(node, ast.Name):
            found |= {node.id} & _ALL_FIELDS
    return found
