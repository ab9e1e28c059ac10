"""From a run's folder to the subjects of its sanity checks."""

import numpy as np
import torch

from attacks import Attack
from benchbox.data.images import load_images
from benchbox.errors import BenchboxError
from benchbox.leaderboard.check_result import CheckResult
from benchbox.leaderboard.on_protocol import run_grid_of
from benchbox.leaderboard.sanity.checks import Progress, run_checks
from benchbox.leaderboard.sanity.subject import Subject
from benchbox.models.folding import attack_ready
from benchbox.reports.artefacts import Artefacts
from benchbox.reports.measurements import Group, Measurements, measurements
from benchbox.runs.plan import resolve_defense
from benchbox.runs.registry import Registry

QUERIES = 100
"""How many queries are examined, evenly spread: a standard error of 2 to 4 points of mAP."""

SOURCES = 2
"""How many other models queries are taken from."""


def examine(
    store: Artefacts,
    registry: Registry,
    group: Group,
    defense: str,
    *,
    device: torch.device,
    progress: Progress = lambda _share, _text: None,
) -> list[CheckResult]:
    """Return the outcome of every sanity check of one defense in one block of the tables.

    The models are those of the lowest seed.

    Args:
        store: of the run.
        registry: with the plugins the run was made with.
        group: backbone and datasets.
        defense: the registry's name.
        device: where to attack.
        progress: told before each check.

    Raises:
        BenchboxError: the run, its store or its datasets do not have what it takes.
    """
    cells = measurements(store.run.results, store.run.record.names)
    subject = subject_of(store, registry, cells, group, defense, device=device)
    own = _training(store, cells, group, defense)
    sources: dict[str, Subject] = {}
    for other in cells.defenses:
        # Guards share their weights, so a source has to be another training without a guard.
        if store.guard(other) is None and _training(store, cells, group, other) not in (own, None):
            title = cells.names.title("defenses", other)
            sources[title] = subject_of(store, registry, cells, group, other, device=device)
        if len(sources) == SOURCES:
            break
    return run_checks(subject, sources, progress=progress)


def subject_of(
    store: Artefacts,
    registry: Registry,
    cells: Measurements,
    group: Group,
    defense: str,
    *,
    device: torch.device,
) -> Subject:
    """Return a defended model of a run with the queries it is examined on.

    Raises:
        BenchboxError: as `examine`.
    """
    cell, seed = _cell(cells, group, defense)
    grid = run_grid_of(store.run)
    if defense not in registry.defenses:
        raise BenchboxError(
            f"{defense}: not a defense of benchbox; name its file with --plugin to have it checked."
        )
    resolved, _ = resolve_defense(grid, registry.defenses[defense], where=str(store.run.path))
    data = store.dataset(group.test)
    rows = np.unique(
        np.linspace(0, len(data.query) - 1, min(QUERIES, len(data.query))).round().astype(int)
    ).tolist()
    queries = [data.query[row] for row in rows]
    features = store.features(cell)
    attack = _attack(registry.attacks[grid.attacks[0]], grid.steps, float(grid.step_size))
    guides = attack.guides(features["query"], torch.tensor([r.pid for r in data.query]))
    return Subject(
        model=attack_ready(store.model(cell).to(device)),
        guard=resolved.guard,
        attack=attack,
        budgets=tuple(sorted(float(budget) for budget in grid.budgets)),
        queries=load_images(queries, size=store.image_size(cell)),
        guides=guides[torch.tensor(rows)],
        query_pids=[record.pid for record in queries],
        query_camids=[record.camid for record in queries],
        keys=[record.key for record in queries],
        gallery=features["gallery"],
        gallery_pids=[record.pid for record in data.gallery],
        gallery_camids=[record.camid for record in data.gallery],
        seed=seed,
        device=device,
    )


def _attack(kind: type[Attack], steps: int, step_size: float) -> Attack:
    return kind(steps=steps, step_size=step_size)


def _cell(cells: Measurements, group: Group, defense: str) -> tuple[str, int]:
    """Return the clean cell of the lowest seed, and that seed."""
    clean = next(condition for condition in cells.conditions if condition.is_clean)
    scores = cells.at(group, defense, clean)
    if not scores:
        raise BenchboxError(f"{defense} has no clean result in {cells.group_title(group)}.")
    seed = min(scores)
    return scores[seed].cell, seed


def _training(store: Artefacts, cells: Measurements, group: Group, defense: str) -> str | None:
    """Return the key of the training whose weights a defense uses; None without a result."""
    try:
        cell, _ = _cell(cells, group, defense)
    except BenchboxError:
        return None
    return store.run.record.cells[cell].stages.get("train")
