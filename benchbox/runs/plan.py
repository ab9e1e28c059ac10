"""From a grid to cells and stages: the product of its lists, with everything resolved."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

from attacks import Attack
from benchbox.errors import BenchboxError, unknown_name
from benchbox.runs.attack_settings import attack_as_set
from benchbox.runs.grid import Grid, override, parse_source
from benchbox.runs.registry import Registry
from benchbox.runs.stages import (
    AttackStage,
    Data,
    EmbedStage,
    PrepareStage,
    RankStage,
    ReplayStage,
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
        source: of a black-box cell, the (backbone, defense) that its queries were attacked on.
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
    source: tuple[str, str] | None = None

    @property
    def id(self) -> str:
        """Names the cell in all files of a run: the start of its rank stage's digest."""
        return self.rank.key[:16]


@dataclass(frozen=True)
class Plan:
    """The cells of a run in the table's order, and every stage they need, each once.

    Attributes:
        grid: as read.
        cells: rows of results.csv.
        black_box: rows of black_box.csv.
        stages: what all of them need.
        defenses: resolved, by name; those that are only sources included.
    """

    grid: Grid
    cells: tuple[Cell, ...]
    black_box: tuple[Cell, ...]
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
    names = dict.fromkeys([*grid.defenses, *(name for _, name in map(parse_source, grid.sources))])
    resolved = {name: resolve_defense(grid, registry.defenses[name], where=where) for name in names}
    vanilla, _ = resolve_defense(grid, registry.defenses["origin"], where=where)
    planner = _Planner(
        grid=grid,
        defenses={name: defense for name, (defense, _) in resolved.items()},
        vanilla=vanilla.recipe,
        attacks=[attack_as_set(registry.attacks[name], grid) for name in grid.attacks],
        data={name: Data(name, digest, grid.image_size) for name, digest in digests.items()},
    )
    pairs = [(name, name) for name in grid.datasets] + list(grid.transfers)
    cells, black_box = [], []
    for backbone, (source, target), name, seed in product(
        grid.backbones, pairs, grid.defenses, grid.seeds
    ):
        changes = resolved[name][1]
        place = (source, target, backbone, name)
        clean = planner.embedded(source, target, backbone, name, seed)
        for attack, budget, rank in planner.ranks(clean, backbone, name):
            cells.append(Cell(*place, attack, budget, seed, changes, rank))
        for from_, attack, budget, rank in planner.black_box_ranks(clean, backbone, name):
            cell = Cell(*place, attack, budget, seed, changes, rank, source=from_)
            black_box.append(cell)
    return Plan(
        grid,
        tuple(cells),
        tuple(black_box),
        with_needs(cell.rank for cell in (*cells, *black_box)),
        planner.defenses,
    )


@dataclass(frozen=True)
class _Planner:
    """Makes the stages of one grid, with everything resolved.

    Attributes:
        grid: validated.
        defenses: by name, sources included.
        vanilla: the recipe whose weights others start from.
        attacks: in order.
        data: by dataset name.
    """

    grid: Grid
    defenses: Mapping[str, Defense]
    vanilla: Recipe
    attacks: Sequence[Attack]
    data: Mapping[str, Data]

    def embedded(
        self, train_on: str, test_on: str, backbone: str, name: str, seed: int
    ) -> EmbedStage:
        """Return the clean embeddings of one model, which name the model too."""
        defense = self.defenses[name]
        data = self.data[train_on]
        train = _training(self.grid, data, backbone, defense.recipe, self.vanilla, seed)
        return EmbedStage(train=train, data=self.data[test_on], guard=defense.guard)

    def attacked(self, clean: EmbedStage, attack: Attack, backbone: str, name: str) -> AttackStage:
        """Return the attack on a model; one that is a source keeps its adversarial queries."""
        grid = self.grid
        is_source = any((backbone, name) in self.sources(row) for row in grid.backbones)
        return AttackStage(
            clean=clean,
            attack=attack,
            budgets=tuple(grid.budgets),
            seed=clean.train.seed,
            precision=grid.precision,
            keep=grid.keep_adversarial or is_source,
        )

    def sources(self, backbone: str) -> list[tuple[str, str]]:
        """Return the (backbone, defense) whose queries a row on ``backbone`` is shown."""
        named = map(parse_source, self.grid.sources)
        return list(dict.fromkeys((own or backbone, defense) for own, defense in named))

    def ranks(
        self, clean: EmbedStage, backbone: str, name: str
    ) -> Iterator[tuple[str, Fraction, RankStage]]:
        """Yield (attack, budget, stage) of one row: clean first, then attack by attack."""
        ap = self.grid.ap
        yield "none", Fraction(0), RankStage(clean=clean, ap=ap)
        for attack in self.attacks:
            attacked = self.attacked(clean, attack, backbone, name)
            for budget in self.grid.budgets:
                rank = RankStage(clean=clean, ap=ap, attacked=attacked, budget=budget)
                yield attack.name, budget, rank

    def black_box_ranks(
        self, clean: EmbedStage, backbone: str, name: str
    ) -> Iterator[tuple[tuple[str, str], str, Fraction, RankStage]]:
        """Yield (source, attack, budget, stage): what the sources' queries do to one row.

        A source has the row's datasets and seed. Where it is the row itself, the attack is the
        white-box one.
        """
        trained_on, seed = clean.train.data.name, clean.train.seed
        for source in self.sources(backbone):
            theirs = self.embedded(trained_on, clean.data.name, *source, seed)
            for attack in self.attacks:
                made = self.attacked(theirs, attack, *source)
                shown = made if source == (backbone, name) else ReplayStage(clean, made)
                for budget in self.grid.budgets:
                    rank = RankStage(clean=clean, ap=self.grid.ap, attacked=shown, budget=budget)
                    yield source, attack.name, budget, rank


def _require_defended(grid: Grid, registry: Registry, where: str) -> None:
    """Check that each key of [defended] is a parameter of one of the grid's recipes."""
    recipes = [registry.defenses[name].recipe for name in grid.defenses]
    known = {field.name for recipe in recipes if recipe.name != VANILLA for field in fields(recipe)}
    for key in grid.defended:
        if key not in known:
            raise unknown_name("parameter", key, known, where=f"{where}: [defended]")


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
