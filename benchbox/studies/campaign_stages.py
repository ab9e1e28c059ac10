"""The stages of a paper's whole campaign, from its grids: a real graph, on datasets of any size."""

from collections.abc import Sequence
from pathlib import Path

from benchbox.runs.grid_file import read_grid
from benchbox.runs.opening import planned_datasets
from benchbox.runs.plan import make_plan
from benchbox.runs.registry import load_registry
from benchbox.runs.stages import Stage, with_needs

WORST_CASE = "worst_case"


def campaign_stages(
    grids: Sequence[Path], *, datasets: Sequence[str], seeds: Sequence[int]
) -> tuple[Stage, ...]:
    """Return every stage that the grids need, each once, behind those that it needs itself.

    Args:
        grids: files; a grid keeps its defenses, backbones, budgets and sources.
        datasets: in the place of each grid's own, whether or not they are on this machine. A grid
            with transfers gets those from each dataset to each other.
        seeds: in the place of each grid's own.

    Raises:
        BenchboxError: a grid is faulty, or a dataset is unknown.
    """
    registry = load_registry()
    found: list[Stage] = []
    for path in grids:
        grid = read_grid(path, registry)
        pairs = [(one, other) for one in datasets for other in datasets if one != other]
        attacks = grid.attacks if WORST_CASE in grid.attacks else (*grid.attacks, WORST_CASE)
        grid = grid.model_copy(
            update={
                "datasets": tuple(datasets),
                "transfers": tuple(pairs) if grid.transfers else (),
                "attacks": attacks,
                "seeds": tuple(seeds),
            }
        )
        planned = planned_datasets(grid, registry, data_root=None)
        plan = make_plan(grid, registry, planned.digests, where=str(path), counts=planned.counts)
        found += plan.stages
    return with_needs(found)
