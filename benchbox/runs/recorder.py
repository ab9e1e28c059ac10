"""What a run's folder says: run.json with the provenance, results.csv with the numbers."""

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from attacks.corruption import ROW_TITLES
from benchbox.data import sidewalk
from benchbox.data.official import compare_with_official
from benchbox.evaluation.chance import chance_map
from benchbox.models.given import Given
from benchbox.models.in_use import Use
from benchbox.runs.attack_settings import pace_of
from benchbox.runs.grid import Grid
from benchbox.runs.opening import grid_sources
from benchbox.runs.plan import Plan
from benchbox.runs.planner import Row
from benchbox.runs.provenance import describe, device_name, git_state, now, versions, without_home
from benchbox.runs.record import (
    RUN_SCHEMA,
    AttackRecord,
    CellRecord,
    DatasetRecord,
    GitRecord,
    RowRecord,
    RunRecord,
    write_record,
)
from benchbox.runs.registry import Registry
from benchbox.runs.results import cells_near_chance, write_results
from benchbox.runs.stages import parameters
from benchbox.runs.store import Store
from benchbox.runs.training_cost import step_in_numbers, trainings
from benchbox.runs.workplace import Site
from defenses import Defense

_REFRESH_SECONDS = 10


@dataclass
class Recorder:
    """Keeps a run's folder saying what is run and what has come out so far.

    Attributes:
        out: the run's folder.
        plan: cells and resolved defenses.
        registry: for the datasets' titles.
        site: device, batch size and datasets.
        started: when, in UTC.
        written: when results.csv was last written, on the monotonic clock.
    """

    out: Path
    plan: Plan
    registry: Registry
    site: Site
    started: str = field(default_factory=now)
    written: float = 0.0

    def write_results(self, store: Store) -> dict[str, CellRecord]:
        """Write results.csv and per_id.csv; return what run.json records per cell."""
        self.written = time.monotonic()
        return write_results(self.out, self.plan, store)

    def write_results_now_and_then(self, store: Store) -> None:
        """Keep results.csv fresh for whoever looks, without spending the run on it."""
        if time.monotonic() - self.written > _REFRESH_SECONDS:
            self.write_results(store)

    def write(self, store: Store, failures: Sequence[str], *, finished: str | None) -> int:
        """Write run.json and results; return how many cells have their numbers."""
        grid = self.plan.grid
        cells = self.write_results(store)
        chance = {name: self._chance(name) for name in self.site.datasets}
        write_record(
            self.out / "run.json",
            RunRecord(
                schema=RUN_SCHEMA,
                name=grid.name,
                title=grid.title or grid.name,
                started=self.started,
                finished=finished,
                command=" ".join(["benchbox", *sys.argv[1:]]),
                versions={**versions()},
                git=GitRecord(**git_state()),
                device=device_name(self.site.device),
                batch_size=self.site.batch_size,
                store=self._store(),
                datasets={name: self._dataset(name, chance[name]) for name in chance},
                titles=self._titles(),
                order={
                    "defenses": grid.defenses,
                    "attacks": [
                        *(column.name for column in self.plan.columns),
                        *(ROW_TITLES if self.plan.corruption else ()),
                    ],
                    "datasets": list(self.site.datasets),
                    "backbones": self._backbones(),
                },
                grid=grid.model_dump(mode="json"),
                defenses={name: described(each) for name, each in self.plan.defenses.items()},
                attacks=self._attacks(),
                rows=[self._row(row) for row in self.plan.rows],
                trainings=list(trainings(self.plan, store)),
                cells=cells,
                near_chance=cells_near_chance(self.plan, store, chance),
                failures=list(failures),
            ),
        )
        return sum(cell.id in cells for cell in self.plan.cells)

    def _row(self, row: Row) -> RowRecord:
        grid = self.plan.grid
        given = self.plan.defenses[row.defense].model
        return RowRecord(
            **row._asdict(),
            ranked_by=given.distance if given else grid.ranked_by,
            flip_test=given.flip_test if given else grid.flip_test,
            ascended=ascended(grid, given),
        )

    def _dataset(self, name: str, chance: float | None) -> DatasetRecord:
        grid, dataset = self.plan.grid, self.site.datasets[name]
        return DatasetRecord(
            **describe(dataset),
            chance=chance,
            size=grid.sidewalk_size if name in sidewalk.DOMAINS else None,
            validation=grid.validation,
            # Nobody published numbers of a held-out view to differ from.
            unofficial=[]
            if grid.validation
            else compare_with_official(dataset, self.registry.datasets),
        )

    def _chance(self, name: str) -> float | None:
        """Return the mAP of a random ranking, in percent."""
        chance = chance_map(self.site.datasets[name], ap=self.plan.grid.ap)
        return None if chance is None else 100 * chance

    def _attacks(self) -> dict[str, AttackRecord]:
        """Return the attacks as they run, by column; their budgets are the grid's."""
        found = {}
        for column in self.plan.columns:
            settings = parameters(column.attack)
            del settings["eps"]
            pace = pace_of(column.attack)
            budgets = self.plan.grid.budgets_of(column.attack.name)
            found[column.name] = AttackRecord(
                threat=getattr(column.attack, "knows", column.attack.threat),
                budgets=[str(budget) for budget in budgets],
                steps=pace.steps,
                step_size_255=pace.step_size_255,
                settings=settings,
                through=column.passes,
            )
        if (corruption := self.plan.corruption) is not None:
            # No budget: what nobody aims has none, and tables print none.
            said = AttackRecord(
                threat=corruption.name,
                budgets=["0"],
                steps=0,
                step_size_255=0,
                settings=parameters(corruption),
                through=None,
            )
            found |= dict.fromkeys(ROW_TITLES, said)
        return found

    def _store(self) -> str:
        """Return where the store is, seen from the run's folder where it lies in or beside it."""
        store, out = self.site.store.absolute(), self.out.absolute()
        near = store.is_relative_to(out) or store.parent == out.parent
        return os.path.relpath(store, out) if near else without_home(store)

    def _backbones(self) -> list[str]:
        """Return the grid's backbones and those of its sources."""
        named = [backbone for backbone, _ in self.plan.grid.parsed_sources if backbone]
        given = (defense.model for defense in self.plan.defenses.values())
        named += [model.architecture for model in given if model is not None]
        return list(dict.fromkeys([*self.plan.grid.backbones, *named]))

    def _titles(self) -> dict[str, dict[str, str]]:
        view = " (validation)" if self.plan.grid.validation else ""
        sources = grid_sources(self.plan.grid, self.registry)
        return {
            "defenses": {name: d.title for name, d in self.plan.defenses.items()},
            "attacks": {
                **{column.name: column.title for column in self.plan.columns},
                **(ROW_TITLES if self.plan.corruption else {}),
            },
            "datasets": {name: source.heading + view for name, source in sources.items()},
            "backbones": {name: _TITLES.get(name, name) for name in self._backbones()},
        }


def ascended(grid: Grid, given: Given | None) -> str:
    """Return the distance that attacks with guides ascend on a row's model, in words.

    Args:
        grid: says whether it is squared.
        given: the row's model; None for one of our own, which the grid says how to use.
    """
    squared = grid.distance == "squared"
    words = "squared Euclidean" if squared else "Euclidean"
    if not (given or Use(grid.flip_test, grid.ranked_by)).scales:
        return words
    return f"{words} at unit length, {'2 − 2 cos' if squared else '√(2 − 2 cos)'}"


def described(defense: Defense) -> dict[str, Any]:
    """Return what a record says of a defense: its weights, its guard, what a step costs."""
    recipe, given = defense.recipe, defense.model
    # What is hardened goes on from what was given, whatever its recipe's start.
    start = {"start": "given"} if recipe and given else {}
    return {
        "source": defense.source,
        "recipe": None if recipe is None else {"name": recipe.name, **parameters(recipe), **start},
        "given": None if given is None else given.settings(),
        "guard": parameters(defense.guard) if defense.guard else None,
        "training": None if recipe is None else step_in_numbers(recipe),
    }


_TITLES = {
    "resnet50": "ResNet50",
    "apnet": "APNet",
    "small": "Small",
}
"""How the paper's tables print backbones."""
