"""Recomputes what an entry's queries score with given weights, by the stages of a run."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from benchbox.data.protocol import ReidDataset
from benchbox.errors import BenchboxError
from benchbox.files.progress import Progress
from benchbox.leaderboard.board_protocol import Protocol
from benchbox.leaderboard.entry.record import Entry
from benchbox.leaderboard.verifying.recomputed import Scores
from benchbox.models.given import Given
from benchbox.results.conditions import Condition
from benchbox.results.per_query import PerQuery, read_per_query
from benchbox.runs.grid import Grid
from benchbox.runs.plan import Cell, make_plan
from benchbox.runs.registry import Registry, with_row
from benchbox.runs.stages import parameters, with_needs
from benchbox.runs.worker import do_stage
from benchbox.runs.workplace import Workplace
from benchbox.untrusted.json import as_record, read_json
from defenses import Defense, Guard


@dataclass(frozen=True)
class EntryPlan:
    """How an entry's cells are made from its weights.

    Attributes:
        cells: of all seeds.
        guard: what stands before the model, with the grid's overrides applied.
    """

    cells: tuple[Cell, ...]
    guard: Guard | None


def plan_of(
    entry: Entry,
    protocol: Protocol,
    registry: Registry,
    datasets: Mapping[str, ReidDataset],
    weights: Mapping[int, Path],
    *,
    where: str,
) -> EntryPlan:
    """Return the plan of the entry's cells alone, set as the protocol says, from given weights.

    Whoever trained them, the weights are a model that exists already: a row that benchbox trained
    becomes a given one on the same backbone, a given one keeps its builder.

    Args:
        entry: what was entered.
        protocol: the board's, in the entry's version.
        registry: holds the board's attacks and the entry's defense.
        datasets: name → dataset, those of the entry.
        weights: seed → weights file, checked.
        where: the entry's file, for errors.

    Raises:
        BenchboxError: the defense is not known here, or its guard is not the one recorded.
    """
    name = entry.defense.name
    if name not in registry.defenses:
        raise BenchboxError(
            f"{where}: defense {name!r} is not known here; name its file with --plugin."
        )
    recorded = as_record(entry.provenance.grid, Grid, where=f"{where}: provenance.grid")
    defense = registry.defenses[name]
    grid = recorded.model_copy(
        update={
            "datasets": [entry.test.name],
            "transfers": [],
            "defenses": [name],
            # The weights are given, so that nothing of the training is asked for.
            "pretrained": False,
            "training_protocol": "not stated",
            "deviations": {},
            "training": {},
            "defended": {},
            "recipe": {},
            "guard": {key: value for key, value in recorded.guard.items() if key == name},
            "sources": [],
            "attacks": list(protocol.attacks),
            "attack": protocol.attack_tables,
            "budgets": list(protocol.fractions),
            "keep_adversarial": False,
        }
    )
    digests = {entry.test.name: datasets[entry.test.name].digest}
    cells: list[Cell] = []
    guard = None
    for seed in protocol.seeds:
        row = Defense(
            name=name,
            title=defense.title,
            model=given_of(entry, defense, weights[seed]),
            guard=defense.guard,
            source=defense.source,
        )
        one = grid.model_copy(update={"seeds": [seed]})
        plan = make_plan(one, with_row(registry, row), digests, where=where)
        cells += plan.cells
        guard = plan.defenses[name].guard
    here = parameters(guard) if guard else None
    there = entry.provenance.defense.get("guard")
    if here != there:
        raise BenchboxError(
            f"{where}: provenance.defense.guard: {str(there)[:200]}, but {name} here has "
            f"{str(here)[:200]}. Use the code and plugin it was measured with."
        )
    return EntryPlan(tuple(cells), guard)


def image_size_of(entry: Entry) -> tuple[int, int]:
    """Return (height, width) of the images that an entry's trained models took.

    Raises:
        BenchboxError: its grid does not say.
    """
    match entry.provenance.grid.get("image_size"):
        case [int(height), int(width)] if 16 <= min(height, width) <= max(height, width) <= 1024:
            return height, width
    raise BenchboxError("provenance.grid: image_size: expected [height, width] of 16 to 1024.")


def given_of(entry: Entry, defense: Defense, weights: Path) -> Given:
    """Return an entry's model as one that exists already: its network, with these weights."""
    if defense.model is not None:
        return replace(defense.model, weights=weights, trained_on=entry.train.name)
    return Given(
        builder=entry.backbone,
        weights=weights,
        backbone=entry.backbone,
        trained_on=entry.train.name,
        image_size=image_size_of(entry),
    )


def recompute(
    entry: Entry,
    plan: EntryPlan,
    place: Workplace,
    progress: Progress,
) -> Scores:
    """Return what comes out of given weights.

    Args:
        entry: what was entered.
        plan: how its cells are made; see `plan_of`.
        place: device, datasets, and a store that is empty.
        progress: called before each stage.
    """
    conditions = {(r.attack, r.eps_255): r.condition for r in entry.results}
    stages = with_needs(cell.rank for cell in plan.cells)
    for done, stage in enumerate(stages):
        progress(done / len(stages), stage.title)
        do_stage(stage, place)
    found: dict[tuple[Condition, int], PerQuery] = {}
    gallery = lone = 0
    for cell in plan.cells:
        eps_255 = float(f"{float(cell.budget * 255):.12g}")
        folder = place.store.folder(cell.rank.kind, cell.rank.key)
        per_query = read_per_query(folder / "per_query.json")
        found[conditions[cell.attack, eps_255], cell.seed] = per_query
        result = read_json(folder / "result.json")
        gallery, lone = result["gallery"], max(lone, result["lone_queries"])
    return Scores(found, gallery=gallery, lone=lone)
