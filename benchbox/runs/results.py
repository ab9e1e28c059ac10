"""results.csv and per_id.csv: what the rank stages say, gathered into one row a cell."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from benchbox.files import write_text
from benchbox.runs.plan import Cell
from benchbox.runs.store import Store

COLUMNS = (
    "train_dataset", "test_dataset", "backbone", "defense", "attack", "eps_255", "steps",
    "step_size_255", "seed", "mAP", "rank1", "rank5", "rank10", "ap_convention", "queries",
    "gallery", "seconds", "cell",
)  # fmt: skip


def write_results(folder: Path, cells: Sequence[Cell], store: Store) -> dict[str, dict[str, Any]]:
    """Write results.csv and per_id.csv for the finished cells, in the plan's order.

    ``seconds`` is the wall time of the cell's attack (its share of the sweep over all budgets)
    or, for a clean cell, of embedding.

    Returns:
        What run.json records per cell: counts that have no column.
    """
    rows: list[dict[str, Any]] = []
    per_id: list[dict[str, Any]] = []
    extra: dict[str, dict[str, Any]] = {}
    for cell in cells:
        manifest = store.manifest(cell.rank.kind, cell.rank.key)
        if manifest is None:
            continue
        artefact = store.folder(cell.rank.kind, cell.rank.key)
        result = json.loads((artefact / "result.json").read_text())
        rows.append({**_identity(cell), **result, "seconds": _seconds(cell, store)})
        per_id += _per_id(cell, json.loads((artefact / "per_query.json").read_text()))
        extra[cell.id] = {
            "skipped_queries": result["skipped_queries"],
            "lone_queries": result["lone_queries"],
            "train_stage": cell.rank.clean.train.key,
            "overrides": cell.overrides,
        }
    _write_csv(folder / "results.csv", COLUMNS, rows)
    _write_csv(folder / "per_id.csv", ("cell", "pid", "queries", "ap"), per_id)
    return extra


def _identity(cell: Cell) -> dict[str, Any]:
    attacked = cell.rank.attacked
    return {
        "train_dataset": cell.train_dataset,
        "test_dataset": cell.test_dataset,
        "backbone": cell.backbone,
        "defense": cell.defense,
        "attack": cell.attack,
        "eps_255": float(cell.budget * 255),
        "steps": attacked.attack.steps if attacked else 0,
        "step_size_255": round(attacked.attack.step_size * 255, 9) if attacked else 0.0,
        "seed": cell.seed,
        "ap_convention": cell.rank.ap,
        "cell": cell.id,
    }


def _seconds(cell: Cell, store: Store) -> float:
    stage = cell.rank.attacked or cell.rank.clean
    manifest = store.recorded(stage.kind, stage.key)
    share = len(stage.budgets) if stage is cell.rank.attacked else 1
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
