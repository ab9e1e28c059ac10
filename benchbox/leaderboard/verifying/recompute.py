"""Recomputes what an entry's queries score with given weights, by the stages of a run."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchbox.data.protocol import ReidDataset
from benchbox.errors import BenchboxError
from benchbox.files.progress import Progress
from benchbox.leaderboard.board_protocol import Protocol
from benchbox.leaderboard.entry.record import Entry
from benchbox.leaderboard.verifying.recomputed import Scores
from benchbox.results.conditions import Condition
from benchbox.results.per_query import PerQuery, read_per_query
from benchbox.runs.grid import Grid
from benchbox.runs.plan import Plan, make_plan
from benchbox.runs.registry import Registry
from benchbox.runs.stages import Stage, TrainStage, parameters, with_needs
from benchbox.runs.store import Store
from benchbox.runs.worker import do_stage
from benchbox.runs.workplace import Workplace
from benchbox.untrusted.json import as_record, read_json


def plan_of(
    entry: Entry,
    protocol: Protocol,
    registry: Registry,
    datasets: Mapping[str, ReidDataset],
    *,
    where: str,
) -> Plan:
    """Return the plan of the entry's cells alone, set as the protocol says.

    Raises:
        BenchboxError: the defense is not known here, or its guard is not the one recorded.
    """
    name = entry.defense.name
    if name not in registry.defenses:
        raise BenchboxError(
            f"{where}: defense {name!r} is not known here; name its file with --plugin."
        )
    recorded = as_record(entry.provenance.grid, Grid, where=f"{where}: provenance.grid")
    same = entry.train.name == entry.test.name
    grid = recorded.model_copy(
        update={
            "datasets": [entry.train.name],
            "transfers": [] if same else [(entry.train.name, entry.test.name)],
            "backbones": [entry.backbone],
            "defenses": [name],
            # The trained weights are given, so that nothing of the training is asked for.
            "pretrained": False,
            "training": {},
            "defended": {},
            "recipe": {},
            "guard": {key: value for key, value in recorded.guard.items() if key == name},
            "sources": [],
            "attacks": list(protocol.attacks),
            "attack": {},
            "budgets": list(protocol.fractions),
            "seeds": list(protocol.seeds),
            "keep_adversarial": False,
        }
    )
    digests = {dataset: found.digest for dataset, found in datasets.items()}
    plan = make_plan(grid, registry, digests, where=where)
    guard = plan.defenses[name].guard
    here = parameters(guard) if guard else None
    there = entry.provenance.defense.get("guard")
    if here != there:
        raise BenchboxError(
            f"{where}: provenance.defense.guard: {str(there)[:200]}, but {name} here has "
            f"{str(here)[:200]}. Use the code and plugin it was measured with."
        )
    return plan


def recompute(
    entry: Entry,
    plan: Plan,
    place: Workplace,
    weights: Mapping[int, Path],
    progress: Progress,
) -> Scores:
    """Return what comes out of given weights.

    Args:
        entry: what was entered.
        plan: how its cells are made; see `plan_of`.
        place: device, datasets, and a store that is empty.
        weights: seed → weights file, checked.
        progress: called before each stage.
    """
    cells = [cell for cell in plan.cells if cell.test_dataset == entry.test.name]
    cells = [cell for cell in cells if cell.train_dataset == entry.train.name]
    conditions = {(r.attack, r.eps_255): r.condition for r in entry.results}
    for train in {cell.rank.clean.train.key: cell.rank.clean.train for cell in cells}.values():
        _put_weights(place.store, train, weights[train.seed])
    stages = _behind_training([cell.rank for cell in cells])
    for done, stage in enumerate(stages):
        progress(done / len(stages), stage.title)
        do_stage(stage, place)
    found: dict[tuple[Condition, int], PerQuery] = {}
    gallery = lone = 0
    for cell in cells:
        eps_255 = float(f"{float(cell.budget * 255):.12g}")
        folder = place.store.folder(cell.rank.kind, cell.rank.key)
        per_query = read_per_query(folder / "per_query.json")
        found[conditions[cell.attack, eps_255], cell.seed] = per_query
        result = read_json(folder / "result.json")
        gallery, lone = result["gallery"], max(lone, result["lone_queries"])
    return Scores(found, gallery=gallery, lone=lone)


def _put_weights(store: Store, train: TrainStage, file: Path) -> None:
    """Put given weights where the runner looks for those of a training."""
    with store.claim(train.kind, train.key), store.building(train.kind, train.key) as folder:
        shutil.copyfile(file, folder / "weights.safetensors")
        store.finish(
            folder,
            manifest={
                "key": train.key,
                "kind": train.kind,
                "title": train.title,
                "settings": {},
                "seconds": 0.0,
                "device": "given weights",
            },
        )


def _behind_training(ranks: Sequence[Stage]) -> list[Stage]:
    """Return what is done with trained weights, each stage behind those it needs."""
    wanted = with_needs(ranks)
    return [stage for stage in wanted if stage.kind in ("embed", "attack", "rank")]
