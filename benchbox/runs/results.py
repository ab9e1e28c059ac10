"""results.csv, black_box.csv and per_id.csv: what the rank stages say, one row a cell."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from attacks.corruption import SIDES
from benchbox.evaluation.chance import is_near_chance
from benchbox.files.atomic import write_text
from benchbox.reranking.names import PLAIN
from benchbox.runs.attack_settings import Pace, pace_of
from benchbox.runs.columns import (
    CORRUPTION_COLUMNS,
    PER_ID_COLUMNS,
    RANKING,
    SOURCE_COLUMNS,
    TARGETED_COLUMNS,
    result_columns,
)
from benchbox.runs.plan import Cell, Plan
from benchbox.runs.record import CellRecord
from benchbox.runs.stages import AttackStage, CorruptedRankStage, CorruptStage, ReplayStage
from benchbox.runs.store import Store


def write_results(folder: Path, plan: Plan, store: Store) -> dict[str, CellRecord]:
    """Write results.csv and per_id.csv for the finished cells, in the plan's order.

    Cells of other rankings than the plain one stand last in results.csv, and have no identities.
    A grid with sources has black_box.csv too, one with corruptions corruption.csv, one with
    targeted attacks targeted.csv.

    ``seconds`` is the wall time of the cell's attack (its share of the sweep over all budgets, or
    of the three ways to corrupt) or, for a clean cell, of embedding.

    Returns:
        What run.json records per cell of results.csv: counts that have no column, and the keys of
        the stages that hold its artefacts.
    """
    rows: list[dict[str, Any]] = []
    per_id: list[dict[str, Any]] = []
    extra: dict[str, CellRecord] = {}
    for cell in (*plan.cells, *plan.reranked):
        result = _result(cell, store)
        if result is None:
            continue
        per_query = _per_query(cell, store)
        rows.append(_row(cell, {**_ranks(per_query, plan), **result}, store))
        if cell.ranking == PLAIN:
            per_id += _per_id(cell, per_query)
        extra[cell.id] = CellRecord(
            skipped_queries=result["skipped_queries"],
            lone_queries=result["lone_queries"],
            stages=_stages(cell),
            overrides=dict(cell.overrides),
            draws=result["draws"],
            won=result["won"],
            channels=result["channels"],
            repeats=result.get("repeats", 1),
            spread=result.get("spread", {}),
        )
    columns = result_columns(plan.grid.ranks)
    _write_csv(folder / "results.csv", columns, rows)
    _write_csv(folder / "per_id.csv", PER_ID_COLUMNS, per_id)
    if plan.black_box:
        results = [(cell, _result(cell, store)) for cell in plan.black_box]
        shown = [
            _row(cell, {**_ranks(_per_query(cell, store), plan), **result}, store)
            for cell, result in results
            if result is not None
        ]
        _write_csv(folder / "black_box.csv", (*SOURCE_COLUMNS, *columns), shown)
    if plan.sweeps:
        _write_csv(folder / "corruption.csv", CORRUPTION_COLUMNS, _swept(plan, store))
    if plan.targeted:
        results = [(cell, _result(cell, store)) for cell in plan.targeted]
        aimed = [_row(cell, result, store) for cell, result in results if result is not None]
        _write_csv(folder / "targeted.csv", TARGETED_COLUMNS, aimed)
    return extra


def _swept(plan: Plan, store: Store) -> list[dict[str, Any]]:
    """Return the rows of corruption.csv that are done."""
    rows = []
    for row, stage in plan.sweeps.items():
        if store.manifest(stage.kind, stage.key) is not None:
            model = {
                "train_dataset": row.train,
                "test_dataset": row.test,
                "backbone": row.backbone,
                "defense": row.defense,
                "seed": row.seed,
            }
            lines = stage.lines(store.folder(stage.kind, stage.key))
            rows += [{**model, **line} for line in lines]
    return rows


def cells_near_chance(plan: Plan, store: Store, chance: Mapping[str, float | None]) -> list[str]:
    """Return the clean cells whose mAP is near that of a random ranking.

    Args:
        plan: cells in their order.
        store: of the finished stages.
        chance: dataset → mAP of a random ranking in percent, None where there is none.
    """
    found = []
    for cell in plan.cells:
        expected = chance.get(cell.test_dataset)
        if cell.attack != "none" or expected is None:
            continue
        result = _result(cell, store)
        if result is not None and is_near_chance(result["mAP"], expected):
            found.append(cell.id)
    return found


def _result(cell: Cell, store: Store) -> dict[str, Any] | None:
    """Return what the rank stage of a cell says; None where it is not done."""
    if store.manifest(cell.rank.kind, cell.rank.key) is None:
        return None
    file = store.folder(cell.rank.kind, cell.rank.key) / "result.json"
    result: dict[str, Any] = json.loads(file.read_text())
    return result


def _per_query(cell: Cell, store: Store) -> list[dict[str, Any]]:
    """Return what the rank stage of a finished cell says of each query."""
    file = store.folder(cell.rank.kind, cell.rank.key) / "per_query.json"
    found: list[dict[str, Any]] = json.loads(file.read_text())
    return found


def _ranks(per_query: list[dict[str, Any]], plan: Plan) -> dict[str, float]:
    """Return Rank-k in percent at the grid's ranks: for others nothing has to be ranked again."""
    # Images that were corrupted several times have a first match in each repeat.
    hits = [query.get("first_hits", [query.get("first_hit")]) for query in per_query]
    first_hits = [hit for of_query in hits for hit in of_query if hit]
    return {
        f"rank{k}": 100 * sum(hit <= k for hit in first_hits) / len(first_hits)
        for k in plan.grid.ranks
    }


def _row(cell: Cell, result: dict[str, Any], store: Store) -> dict[str, Any]:
    sources = dict(zip(SOURCE_COLUMNS, cell.source or (), strict=False))
    return {**sources, **_identity(cell), **result, "seconds": _seconds(cell, store)}


def _stages(cell: Cell) -> dict[str, str]:
    """Return kind → key of the stages whose artefacts show how a number came about."""
    clean = cell.rank.clean
    made = (*clean.network.preparations, clean.network, clean)
    stages = (*made, _changed(cell), cell.rank)
    return {stage.kind: stage.key for stage in stages if stage is not None}


def _changed(cell: Cell) -> AttackStage | ReplayStage | CorruptStage | None:
    """Return the stage that changed a cell's images, if one did."""
    rank = cell.rank
    return rank.corrupted if isinstance(rank, CorruptedRankStage) else rank.attacked


def _identity(cell: Cell) -> dict[str, Any]:
    changed = _changed(cell)
    attacked = None if isinstance(changed, CorruptStage) else changed
    pace = pace_of(attacked.attack) if attacked else Pace(0, 0.0)
    return {
        "train_dataset": cell.train_dataset,
        "test_dataset": cell.test_dataset,
        "backbone": cell.backbone,
        "defense": cell.defense,
        "attack": cell.attack,
        "eps_255": float(cell.budget * 255),
        "steps": pace.steps,
        "step_size_255": pace.step_size_255,
        "seed": cell.seed,
        "ap_convention": cell.rank.ap,
        RANKING: cell.ranking,
        "cell": cell.id,
    }


def _seconds(cell: Cell, store: Store) -> float:
    changed = _changed(cell)
    stage = changed or cell.rank.clean
    manifest = store.recorded(stage.kind, stage.key)
    share = 1
    if changed is not None:
        share = len(SIDES) if isinstance(changed, CorruptStage) else len(changed.budgets)
    return manifest.seconds / share if manifest else float("nan")


def _per_id(cell: Cell, per_query: list[dict[str, Any]]) -> list[dict[str, Any]]:
    by_pid: dict[int, list[float]] = {}
    for query in per_query:
        if query["ap"] is not None:
            by_pid.setdefault(query["pid"], []).append(query["ap"])
    return [
        {"cell": cell.id, "pid": pid, "queries": len(aps), "ap": fmean(aps)}
        for pid, aps in sorted(by_pid.items())
    ]


def _write_csv(path: Path, columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())
