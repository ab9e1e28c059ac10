"""Makes a baseline of a finished run, and reads and writes baselines."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from benchbox.errors import BenchboxError
from benchbox.files.atomic import write_text
from benchbox.regression.baseline_record import Baseline
from benchbox.results.conditions import CORRUPTED
from benchbox.results.per_query import PerQuery, disagreements, read_per_query
from benchbox.results.run_folder import RunFolder, condition_of, read_run
from benchbox.results.stages import WEIGHTS, RunStages
from benchbox.runs.columns import PLACE
from benchbox.untrusted.json import Limits, as_json, as_record, read_record

BASELINE = Limits(size=50_000_000, values=4_000_000)

_Queries = tuple[tuple[str, ...], tuple[int, ...]]
"""Keys of queries, and whom each shows."""


def make_baseline(
    run: Path, *, grid_file: str | None = None, seed_std: dict[str, float] | None = None
) -> Baseline:
    """Return what a finished run measured, with AP per query from its store.

    Args:
        run: the run's folder, with its store.
        grid_file: the grid's path from the project's folder, for a later rerun.
        seed_std: attack → declared standard deviation over retrainings, in points.

    Raises:
        BenchboxError: the folder is malformed or unfinished, its store is not here, or a stored
            result disagrees with results.csv.
    """
    folder = read_run(run, links="refused")
    _require_finished(folder)
    queries: dict[str, _Queries] = {}
    stages = RunStages(folder)
    cells = [_cell(stages, rows, queries) for rows in _places(folder.results)]
    record = folder.record
    names = {name for cell in cells for name in (cell["train"], cell["test"])}
    digests = {label(name): dataset.digest for name, dataset in record.datasets.items()}
    if len(digests) < len(record.datasets):
        raise BenchboxError(f"{run}: two datasets have the same folder name; rename one.")
    content = {
        "schema": 1,
        "name": record.name,
        "grid_file": grid_file,
        "grid": _without_paths(record.grid),
        "ap_convention": str(folder.results["ap_convention"].iloc[0]),
        "benchbox": record.versions.get("benchbox-reid") or "",
        "commit": record.git.commit if record.git else None,
        "dirty": record.git.dirty if record.git else None,
        "datasets": {name: digest for name, digest in digests.items() if name in names},
        "seed_std": seed_std or {},
        "queries": {name: keys for name, (keys, _) in queries.items()},
        "pids": {name: pids for name, (_, pids) in queries.items()},
        "cells": cells,
    }
    return as_record(content, Baseline, where=str(run))


def read_baseline(path: Path) -> Baseline:
    """Return a baseline, read strictly: it may come from a stranger's pull request.

    Raises:
        BenchboxError: it is missing, too large, no JSON, or a key does not fit.
    """
    return read_record(path, Baseline, limits=BASELINE)


def write_baseline(path: Path, baseline: Baseline) -> None:
    """Write a baseline atomically, a line per query key, list of pids and seed of a cell."""
    write_text(path, _layout(as_json(baseline), 4) + "\n")


def label(dataset: str) -> str:
    """Return a dataset's name as a baseline has it: of ``path:/some/where/mine`` the last part.

    Where a dataset lies differs between machines; its digest says whether it is the same.
    """
    if not dataset.startswith("path:"):
        return dataset
    last = Path(dataset.removeprefix("path:")).name
    return f"path:{re.sub(r'[^A-Za-z0-9_.-]', '_', last)}"


def _require_finished(folder: RunFolder) -> None:
    if folder.record.finished is None or folder.record.failures:
        raise BenchboxError(
            f"{folder.path}: the run is not finished; run the same grid again to go on with it."
        )


def _places(results: pd.DataFrame) -> Iterable[pd.DataFrame]:
    """Yield the rows of each place, its seeds in order, places in the order of the file.

    Corruptions are left out: means over repeats, they have no one AP a query.
    """
    aimed = results[~results["attack"].isin(CORRUPTED)]
    for _, rows in aimed.groupby(list(PLACE), sort=False):
        yield rows.sort_values("seed")


def _cell(stages: RunStages, rows: pd.DataFrame, queries: dict[str, _Queries]) -> dict[str, Any]:
    """Return a cell's record as JSON and enter its test dataset's queries in ``queries``."""
    first = rows.iloc[0].to_dict()
    condition = condition_of(first)
    test = label(str(first["test_dataset"]))
    seeds = []
    for row in rows.to_dict("records"):
        found = _per_query(stages, row)
        asked = found.queries, tuple(found.pids.tolist())
        if queries.setdefault(test, asked) != asked:
            raise BenchboxError(f"{stages.run.path}: cells on {test} have different queries.")
        result = {"seed": int(row["seed"]), "weights": _weights(stages, str(row["cell"]))}
        result |= {key: float(row[key]) for key in ("mAP", "rank1")}
        seeds.append({**result, "ap": [round(value, 4) for value in found.ap.tolist()]})
    return {
        "train": label(str(first["train_dataset"])),
        "test": test,
        "backbone": first["backbone"],
        "defense": first["defense"],
        "attack": condition.attack,
        "eps_255": condition.eps_255,
        "steps": condition.steps,
        "step_size_255": condition.step_size_255,
        "made_by": stages.made_by(str(first["cell"])),
        "seeds": seeds,
    }


def _per_query(stages: RunStages, row: dict[Any, Any]) -> PerQuery:
    """Return the queries of a cell with a valid match.

    Raises:
        BenchboxError: the store lacks them, or they say otherwise than results.csv.
    """
    cell = str(row["cell"])
    found = read_per_query(stages.folder(cell, "rank") / "per_query.json")
    if says := disagreements(row, found):
        raise BenchboxError(
            f"{stages.run.path}: cell {cell}: {'; '.join(says)}. Run the grid again."
        )
    return found


def _weights(stages: RunStages, cell: str) -> str:
    """Return the SHA-256 of the weights a cell was measured with.

    Of a given model it is that of its tensors, which another file or builder may give as well.

    Raises:
        BenchboxError: the store lacks them.
    """
    # What was trained is told apart from its manifest alone: large weights take long to hash.
    kind = stages.made_by(cell)
    manifest = stages.store.recorded(kind, stages.key(cell, kind))
    if manifest is None or WEIGHTS not in manifest.files:
        raise BenchboxError(
            f"{stages.run.path}: the store has no weights of cell {cell}; run the grid again."
        )
    if kind == "given":
        return str(manifest.settings["tensors"])
    return manifest.files[WEIGHTS].sha256


def _without_paths(value: Any) -> Any:
    """Return a grid's settings with datasets' folders and files named by their last part."""
    if isinstance(value, dict):
        return {str(key): _without_paths(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_paths(inner) for inner in value]
    if isinstance(value, str) and value.startswith("path:"):
        return label(value)
    if isinstance(value, str) and Path(value).is_absolute():
        return Path(value).name
    return value


def _layout(value: Any, levels: int, indent: str = "") -> str:
    """Return JSON with the outer ``levels`` on lines of their own, so that a diff is readable."""
    inner = f"{indent} "
    if levels and isinstance(value, dict) and value:
        lines = [
            f"{inner}{json.dumps(k)}: {_layout(v, levels - 1, inner)}" for k, v in value.items()
        ]
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
    # Numbers stay on one line: seeds, pids and the like.
    if levels and isinstance(value, list) and value and not isinstance(value[0], int | float):
        lines = [f"{inner}{_layout(v, levels - 1, inner)}" for v in value]
        return "[\n" + ",\n".join(lines) + f"\n{indent}]"
    return json.dumps(value, allow_nan=False)
