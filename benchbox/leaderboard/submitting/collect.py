"""Collects one group's numbers from a run's store, checking every artefact on the way."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from attacks import AnyAttack
from benchbox.errors import BenchboxError
from benchbox.evaluation.valid_matches import matches_by_query
from benchbox.files.printable import printable
from benchbox.leaderboard.board_protocol import Protocol
from benchbox.leaderboard.submitting.collected import Collected, Tried
from benchbox.leaderboard.submitting.stage_settings import setting_deviations
from benchbox.results.artefacts import Artefacts
from benchbox.results.cells import cells_of
from benchbox.results.conditions import Condition
from benchbox.results.measurements import Group
from benchbox.results.per_query import disagreements, read_per_query
from benchbox.results.stages import WEIGHTS
from benchbox.untrusted.json import as_record, read_json


def collect(
    stages: Artefacts,
    protocol: Protocol,
    attacks: Mapping[str, type[AnyAttack[Any]]],
    group: Group,
    defense: str,
) -> Collected:
    """Return a group's numbers from the run's store; whatever is wrong stands in ``problems``."""
    run = stages.run
    collected = Collected(run, group)
    described = run.record.defenses.get(defense)
    if not isinstance(described, dict) or not any(
        isinstance(described.get(key), dict) for key in ("recipe", "given")
    ):
        collected.problems.append(f"run.json does not describe the recipe of {defense}")
        return collected
    if "guard" not in described:
        collected.problems.append(f"run.json does not describe the guard of {defense}")
        return collected
    rows = cells_of(run, defense)
    for condition in protocol.conditions:
        for seed in protocol.seeds:
            row = rows[group, condition, seed]
            try:
                _add_cell(collected, stages, protocol, attacks, defense, condition, seed, row)
            except BenchboxError as error:
                problem = str(error).rstrip(".")
                # One missing store is one problem, not one per cell.
                if problem not in collected.problems:
                    collected.problems.append(problem)
    if not collected.problems:
        collected.problems.extend(_differences(collected))
        _add_matches(collected, stages)
    return collected


def _add_cell(
    collected: Collected,
    stages: Artefacts,
    protocol: Protocol,
    attacks: Mapping[str, type[AnyAttack[Any]]],
    defense: str,
    condition: Condition,
    seed: int,
    row: dict[str, Any],
) -> None:
    cell = str(row["cell"])
    made_by = stages.made_by(cell)
    collected.problems.extend(
        setting_deviations(
            stages, protocol, attacks, collected.group, defense, condition, seed, cell
        )
    )
    found = read_per_query(stages.file(cell, "rank", "per_query.json"))
    collected.problems.extend(f"cell {cell}: {says}" for says in disagreements(row, found))
    if seed not in collected.weights:
        stages.file(cell, made_by, WEIGHTS)
        stages.network(cell)  # loads the weights, which finds whatever is wrong with them
        made = stages.manifest(cell, made_by)
        collected.weights[seed] = made.files[WEIGHTS].sha256
        if made_by == "given":
            tried = as_record(
                read_json(stages.file(cell, "given", "given.json")), Tried, where=f"cell {cell}"
            )
            # The file its author has, which others can fetch, not our copy of its tensors.
            collected.weights[seed] = tried.weights_sha256 or collected.weights[seed]
            collected.given.append(tried)
        if made_by == "train" or stages.run.record.names.given[defense].hardened:
            collected.training_seconds.append(made.seconds)
    for kind in (made_by, "embed", *([] if condition.is_clean else ["attack"]), "rank"):
        manifest = stages.manifest(cell, kind)
        collected.stages[manifest.key] = manifest
    collected.rows[condition, seed] = row
    collected.found[condition, seed] = found


def _add_matches(collected: Collected, artefacts: Artefacts) -> None:
    """Count the matches of the queries in the dataset, whose queries they have to be."""
    try:
        collected.matches.update(matches_by_query(artefacts.dataset(collected.group.test)))
    except BenchboxError as error:
        collected.problems.append(str(error).rstrip("."))
        return
    if tuple(collected.matches) != next(iter(collected.found.values())).queries:
        collected.problems.append(
            f"its queries with a valid match are not those of {collected.group.test}"
        )


def _differences(collected: Collected) -> list[str]:
    """Return where the cells are not of the same queries, gallery or model of a seed."""
    first, *others = collected.found.items()
    problems = [
        f"cell {collected.rows[place]['cell']}: its queries are not those of the other cells"
        for place, found in others
        if found.queries != first[1].queries
        or found.skipped != first[1].skipped
        or not np.array_equal(found.pids, first[1].pids)
    ]
    if len({row["gallery"] for row in collected.rows.values()}) > 1:
        problems.append("the cells do not have the same gallery")
    keys: dict[int, set[str]] = {}
    for (_, seed), row in collected.rows.items():
        stages = collected.run.record.cells[row["cell"]].stages
        keys.setdefault(seed, set()).add(stages.get("train") or stages.get("given") or "")
    problems += [
        f"seed {seed}: its cells are not all of one trained model"
        for seed, of_seed in keys.items()
        if len(of_seed) > 1
    ]
    return [printable(problem) for problem in problems]
