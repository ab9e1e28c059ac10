"""A grid's overrides applied: defenses, recipes and attacks as they will run, and what changed."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from inspect import signature
from typing import Any

from attacks import AnyAttack
from benchbox.errors import BenchboxError, unknown_name
from benchbox.runs.attack_settings import attack_as_set
from benchbox.runs.attack_stages import require_runnable
from benchbox.runs.grid import Grid
from benchbox.runs.override import override
from benchbox.runs.registry import Registry
from benchbox.training.recipe import Recipe
from defenses import Defense, Vanilla

VANILLA = Vanilla.name
"""The recipe of an undefended model, whose weights other recipes may start from."""

_GIVEN = {"eps": "budgets", "generator": "seeds"}
"""An attack's fields that a grid gives by keys of its own: field → key."""


@dataclass(frozen=True)
class Resolved:
    """The rows and columns of a grid, with all overrides applied.

    Attributes:
        defenses: name → defense; those that are only sources included.
        vanilla: the recipe whose weights other recipes may start from.
        attacks: name → attack, in the grid's order; its ``eps`` is the largest budget.
        changes: defense → what the grid changed of it, as run.json records it.
        attack: attack → what the grid's ``[attack.<name>]`` changed.
    """

    defenses: Mapping[str, Defense]
    vanilla: Recipe
    attacks: Mapping[str, AnyAttack[Any]]
    changes: Mapping[str, Mapping[str, Any]]
    attack: Mapping[str, Mapping[str, Any]]

    def changed(self, defense: str, attack: str | None) -> dict[str, Any]:
        """Return the overrides of one cell; ``attack`` is None for a clean one."""
        own = self.attack.get(attack) if attack else None
        return {**self.changes[defense], **({"attack": own} if own else {})}


def resolve(grid: Grid, registry: Registry, *, where: str) -> Resolved:
    """Return a grid's defenses and attacks as they will run.

    Args:
        grid: validated.
        registry: attacks and defenses.
        where: the grid's file, for errors.

    Raises:
        BenchboxError: an override does not fit.
    """
    _require_defended(grid, registry, where)
    names = dict.fromkeys([*grid.defenses, *(name for _, name in grid.parsed_sources)])
    resolved = {name: resolve_defense(grid, registry.defenses[name], where=where) for name in names}
    vanilla, _ = resolve_recipe(grid, Vanilla(), where=where)
    return Resolved(
        defenses={name: defense for name, (defense, _) in resolved.items()},
        vanilla=vanilla,
        attacks={
            name: resolve_attack(grid, registry.attacks[name], where=where) for name in grid.attacks
        },
        changes={name: changes for name, (_, changes) in resolved.items()},
        attack=grid.attack,
    )


def resolve_defense(grid: Grid, defense: Defense, *, where: str) -> tuple[Defense, dict[str, Any]]:
    """Return a defense with the grid's overrides applied, and those overrides.

    Raises:
        BenchboxError: an override does not fit.
    """
    recipe = defense.recipe
    changes: dict[str, Any] = {}
    if recipe is not None:
        recipe, changes = resolve_recipe(grid, recipe, where=where)
    guard = defense.guard
    if own := grid.guard.get(defense.name):
        changes["guard"] = own
        if guard is None:
            raise BenchboxError(f"{where}: [guard.{defense.name}]: this defense has no guard.")
        guard = override(guard, own, where=f"{where}: [guard.{defense.name}]")
    return replace(defense, recipe=recipe, guard=guard), changes


def resolve_recipe(grid: Grid, recipe: Recipe, *, where: str) -> tuple[Recipe, dict[str, Any]]:
    """Return a recipe with the grid's overrides applied, and those overrides by table.

    Raises:
        BenchboxError: an override does not fit.
    """
    changes: dict[str, Any] = {}
    if grid.training:
        changes["training"] = grid.training
        recipe = override(recipe, {"training": grid.training}, where=f"{where}: [training]")
    if recipe.name != VANILLA:
        names = {field.name for field in fields(recipe)}
        if common := {key: value for key, value in grid.defended.items() if key in names}:
            changes["defended"] = common
            recipe = override(recipe, common, where=f"{where}: [defended]")
    if own := grid.recipe.get(recipe.name):
        changes["recipe"] = own
        recipe = override(recipe, own, where=f"{where}: [recipe.{recipe.name}]")
    return recipe, changes


def resolve_attack(grid: Grid, kind: type[AnyAttack[Any]], *, where: str) -> AnyAttack[Any]:
    """Return an attack as the grid's keys set all of them and ``[attack.<name>]`` sets this one.

    Raises:
        BenchboxError: an override does not fit, or the grid cannot run the attack.
    """
    require_runnable(kind, is_shown=bool(grid.sources), where=where)
    attack = attack_as_set(kind, grid)
    own = {key: value for key, value in grid.attack.get(kind.name, {}).items() if key != "budgets"}
    where = f"{where}: [attack.{kind.name}]"
    known = [name for name in signature(kind).parameters if name not in _GIVEN]
    for key in own:
        if key in _GIVEN:
            raise BenchboxError(f"{where}: {key}: give it by the grid's key {_GIVEN[key]!r}.")
        if key not in known:
            raise unknown_name("parameter", key, [*known, "budgets"], where=where)
    return override(attack, own, where=where)


def _require_defended(grid: Grid, registry: Registry, where: str) -> None:
    """Check that each key of [defended] is a parameter of one of the grid's recipes.

    Without such a recipe it has nothing to apply to, which the plan says (`benchbox.runs.unused`).
    """
    rows = (registry.defenses[name].recipe for name in grid.defenses)
    recipes = [recipe for recipe in rows if recipe is not None and recipe.name != VANILLA]
    known = {field.name for recipe in recipes for field in fields(recipe)}
    for key in grid.defended if recipes else ():
        if key not in known:
            raise unknown_name("parameter", key, known, where=f"{where}: [defended]")
