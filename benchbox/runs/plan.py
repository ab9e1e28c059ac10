"""From a grid to cells and stages: the product of its lists, with everything resolved."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from types import MappingProxyType
from typing import Any

from attacks import AnyAttack
from attacks.corruption import Corruption
from benchbox.data.counting import Counts
from benchbox.reranking.names import PLAIN, Ranking
from benchbox.reranking.rankings import RANKINGS
from benchbox.runs.attack_columns import AttackColumn
from benchbox.runs.grid import Grid
from benchbox.runs.opening import grid_sources
from benchbox.runs.planner import Planner, Row
from benchbox.runs.registry import Registry
from benchbox.runs.resolving import resolve
from benchbox.runs.stages import (
    CorruptedRankStage,
    Data,
    RankStage,
    RerankStage,
    Stage,
    SweepStage,
    with_needs,
)
from benchbox.runs.stages.data import MARKET
from benchbox.runs.training_protocol import require_training_protocol
from defenses import Defense


@dataclass(frozen=True)
class Cell:
    """One row of results.csv.

    Attributes:
        train_dataset: name of the dataset the model is trained on.
        test_dataset: name of the dataset whose queries are attacked.
        backbone: name of the network.
        defense: name of the defense.
        attack: name of the attack's column, ``none`` where nothing is changed, or what is
            corrupted, as in ``attacks.corruption.ROW_TITLES``.
        budget: L∞ budget of the attack; 0 where there is no attack.
        seed: seed of the training and of random starts.
        overrides: what the grid changed in recipe, guard and attack, by table.
        rank: the stage that gives the numbers.
        source: of a black-box cell, the (backbone, defense) that its queries were attacked on.
        ranking: how the gallery is ranked.
    """

    train_dataset: str
    test_dataset: str
    backbone: str
    defense: str
    attack: str
    budget: Fraction
    seed: int
    overrides: Mapping[str, Any]
    rank: RankStage | CorruptedRankStage
    source: tuple[str, str] | None = None
    ranking: Ranking = PLAIN

    @property
    def id(self) -> str:
        """Names the cell in all files of a run: the start of its rank stage's digest."""
        return self.rank.key[:16]


@dataclass(frozen=True)
class Plan:
    """The cells of a run in the table's order, and every stage they need, each once.

    Attributes:
        grid: the validated grid.
        rows: the models that are measured, in the table's order.
        cells: the rows of results.csv with the plain ranking.
        reranked: those with another, for each of ``cells``.
        black_box: the rows of black_box.csv.
        sweeps: row → its stage of each corruption at each severity: corruption.csv.
        targeted: the rows of targeted.csv.
        stages: every stage that those rows need.
        defenses: name → defense with the grid's overrides applied, as it runs; those that are
            only sources included.
        columns: the attacks with the grid's overrides applied, as the tables have them.
        corruption: what happens to images without an attacker, likewise; None where nothing does.
    """

    grid: Grid
    rows: tuple[Row, ...]
    cells: tuple[Cell, ...]
    reranked: tuple[Cell, ...]
    black_box: tuple[Cell, ...]
    sweeps: Mapping[Row, SweepStage]
    targeted: tuple[Cell, ...]
    stages: tuple[Stage, ...]
    defenses: Mapping[str, Defense]
    columns: tuple[AttackColumn, ...]
    corruption: Corruption | None = None

    @property
    def attacks(self) -> Mapping[str, AnyAttack[Any]]:
        """Name → attack, in the grid's order."""
        return {column.attack.name: column.attack for column in self.columns}


def make_plan(
    grid: Grid,
    registry: Registry,
    digests: Mapping[str, str],
    *,
    where: str,
    counts: Mapping[str, Counts] = MappingProxyType({}),
) -> Plan:
    """Return the cells and stages of a grid.

    Args:
        grid: validated.
        registry: attacks and defenses.
        digests: of each dataset the grid names.
        where: the grid's file, for errors about overrides.
        counts: how many images the datasets have, for estimates; where one is left out, it is
            taken for as large as Market-1501.

    Raises:
        BenchboxError: an override does not fit, or rows are not trained as the grid says.
    """
    resolved = resolve(grid, registry, where=where)
    require_training_protocol(grid, resolved.defenses, registry.defenses, where=where)
    sources = grid_sources(grid, registry)
    data = {
        name: Data(
            name,
            digest,
            grid.image_size,
            same_camera=sources[name].same_camera,
            counts=counts.get(name, MARKET),
        )
        for name, digest in digests.items()
    }
    planner = Planner(grid, resolved, data)
    cells, black_box, targeted = [], [], []
    sweeps = {}
    rows = tuple(planner.rows())
    for row in rows:
        name, seed = row.defense, row.seed
        place = (row.train, row.test, row.backbone, name)
        clean = planner.embedded(*row)
        for attack, budget, rank in planner.ranks(clean, row.backbone, name):
            attacked = rank.attacked.attack.name if rank.attacked else None
            changes = resolved.changed(name, attacked)
            cells.append(Cell(*place, attack, budget, seed, changes, rank))
        for attack, corrupted in planner.corrupted_ranks(clean):
            changes = resolved.changed(name, attack)
            cells.append(Cell(*place, attack, Fraction(0), seed, changes, corrupted))
        if (sweep := planner.sweep(clean)) is not None:
            sweeps[row] = sweep
        for attack, budget, rank in planner.targeted_ranks(clean, row.backbone, name):
            changes = resolved.changed(name, rank.attacked.attack.name)
            targeted.append(Cell(*place, attack, budget, seed, changes, rank))
        for from_, attack, budget, rank in planner.black_box_ranks(clean, row):
            changes = resolved.changed(name, attack)
            black_box.append(Cell(*place, attack, budget, seed, changes, rank, from_))
    reranked = [
        _reranked(cell, cell.rank, name)
        for name in grid.rankings
        if name != PLAIN
        for cell in cells
        if isinstance(cell.rank, RankStage)
    ]
    return Plan(
        grid,
        rows,
        tuple(cells),
        tuple(reranked),
        tuple(black_box),
        sweeps,
        tuple(targeted),
        with_needs(
            [
                *(cell.rank for cell in (*cells, *reranked, *black_box, *targeted)),
                *sweeps.values(),
            ],
        ),
        resolved.defenses,
        planner.columns,
        resolved.corruption,
    )


def _reranked(cell: Cell, rank: RankStage, ranking: Ranking) -> Cell:
    """Return a cell of the same queries whose gallery is ranked another way."""
    return replace(cell, rank=RerankStage.of(rank, RANKINGS[ranking]), ranking=ranking)
