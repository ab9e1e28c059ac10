"""From a grid to cells and stages: the product of its lists, with everything resolved."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

from attacks import Attack
from benchbox.errors import BenchboxError, unknown_name
from benchbox.runs.grid import Grid, override
from benchbox.runs.registry import Registry
from benchbox.runs.stages import (
    AttackStage,
    Data,
    EmbedStage,
    PrepareStage,
    RankStage,
    Stage,
    TrainStage,
    with_needs,
)
from benchbox.training.recipe import Recipe
from defenses import Defense

VANILLA = "vanilla"
"""The recipe of an undefended model, whose weights other recipes may start from."""


@dataclass(frozen=True)
class Cell:
    """One row of results.csv.

    Attributes:
        train_dataset: trained on.
        test_dataset: its queries are attacked.
        backbone: name.
        defense: name.
        attack: name, or ``none`` for clean.
        budget: of the attack; 0 for clean.
        seed: of training and random starts.
        overrides: what the grid changed in recipe and guard.
        rank: the stage that gives the numbers.
    """

    train_dataset: str
    test_dataset: str
    backbone: str
    defense: str
    attack: str
    budget: Fraction
    seed: int
    overrides: Mapping[str, Any]
    rank: RankStage

    @property
    def id(self) -> str:
        """Names the cell in all files of a run: the start of its rank stage's digest."""
        return self.rank.key[:16]


@dataclass(frozen=True)
class Plan:
    """The cells of a run in the table's order, and every stage they need, each once."""

    grid: Grid
    cells: tuple[Cell, ...]
    stages: tuple[Stage, ...]
    defenses: Mapping[str, Defense]


def resolve_defense(grid: Grid, defense: Defense, *, where: str) -> tuple[Defense, dict[str, Any]]:
    """Return a defense with the grid's overrides applied, and those overrides."""
    changes: dict[str, Any] = {}
    recipe = defense.recipe
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
    guard = defense.guard
    if own := grid.guard.get(defense.name):
        changes["guard"] = own
        if guard is None:
            raise BenchboxError(f"{where}: [guard.{defense.name}]: this defense has no guard.")
        guard = override(guard, own, where=f"{where}: [guard.{defense.name}]")
    return replace(defense, recipe=recipe, guard=guard), changes


def make_plan(grid: Grid, registry: Registry, digests: Mapping[str, str], *, where: str) -> Plan:
    """Return the cells and stages of a grid.

    Args:
        grid: validated.
        registry: attacks and defenses.
        digests: of each dataset the grid names.
        where: the grid's file, for errors about overrides.

    Raises:
        BenchboxError: an override does not fit.
    """
    _require_defended(grid, registry, where)
    resolved = {
        name: resolve_defense(grid, registry.defenses[name], where=where) for name in grid.defenses
    }
    vanilla, _ = resolve_defense(grid, registry.defenses["origin"], where=where)
    attacks = [_attack(grid, registry.attacks[name]) for name in grid.attacks]
    data = {name: Data(name, digest, grid.image_size) for name, digest in digests.items()}
    pairs = [(name, name) for name in grid.datasets] + list(grid.transfers)
    cells = []
    for backbone, (source, target), (defense, changes), seed in product(
        grid.backbones, pairs, resolved.values(), grid.seeds
    ):
        train = _training(grid, data[source], backbone, defense.recipe, vanilla.recipe, seed)
        clean = EmbedStage(train=train, data=data[target], guard=defense.guard)
        for attack, budget, rank in _ranks(grid, clean, attacks, seed):
            cells.append(
                Cell(source, target, backbone, defense.name, attack, budget, seed, changes, rank)
            )
    stages = with_needs(cell.rank for cell in cells)
    return Plan(grid, tuple(cells), stages, {name: d for name, (d, _) in resolved.items()})


def _require_defended(grid: Grid, registry: Registry, where: str) -> None:
    """Check that each key of [defended] is a parameter of one of the grid's recipes."""
    recipes = [registry.defenses[name].recipe for name in grid.defenses]
    known = {field.name for recipe in recipes if recipe.name != VANILLA for field in fields(recipe)}
    for key in grid.defended:
        if key not in known:
            raise unknown_name("parameter", key, known, where=f"{where}: [defended]")


def _attack(grid: Grid, attack: type[Attack]) -> Attack:
    return attack(
        eps=float(max(grid.budgets)),
        steps=grid.steps,
        step_size=float(grid.step_size),
        own=grid.guides,
        distance=grid.distance,
    )


def _training(
    grid: Grid, data: Data, backbone: str, recipe: Recipe, vanilla: Recipe, seed: int
) -> TrainStage:
    def vanilla_weights() -> TrainStage:
        return _training(grid, data, backbone, vanilla, vanilla, seed)

    parent = vanilla_weights() if recipe.start == "vanilla" else None
    prepared = None
    if (preparation := recipe.preparation) is not None:
        source = vanilla_weights() if preparation.needs_vanilla else None
        prepared = PrepareStage(data, preparation, source)
    pretrained = grid.pretrained
    if isinstance(pretrained, str):
        pretrained = str(Path(pretrained).expanduser().resolve())
    return TrainStage(
        data=data,
        backbone=backbone,
        pretrained=pretrained,
        recipe=recipe,
        seed=seed,
        parent=parent,
        prepared=prepared,
    )


def _ranks(
    grid: Grid, clean: EmbedStage, attacks: Sequence[Attack], seed: int
) -> list[tuple[str, Fraction, RankStage]]:
    """Return (attack, budget, stage) of one row: clean first, then attack by attack."""
    ranks = [("none", Fraction(0), RankStage(clean=clean, ap=grid.ap))]
    for attack in attacks:
        attacked = AttackStage(
            clean=clean,
            attack=attack,
            budgets=tuple(grid.budgets),
            seed=seed,
            precision=grid.precision,
            keep=grid.keep_adversarial,
        )
        for budget in grid.budgets:
            rank = RankStage(clean=clean, ap=grid.ap, attacked=attacked, budget=budget)
            ranks.append((attack.name, budget, rank))
    return ranks
