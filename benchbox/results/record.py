"""run.json: where a run's numbers come from, and what its tables call things."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from benchbox.errors import BenchboxError
from benchbox.files.bounded import read_at_most
from benchbox.files.printable import printable
from benchbox.results.conditions import CLEAN, Condition
from benchbox.runs.grid import parse_fraction

_SIZE = 500_000_000
"""Bytes of run.json at most."""

Kind = Literal["defenses", "attacks", "datasets", "backbones"]


@dataclass(frozen=True)
class Names:
    """What tables call things, in which order they stand, and which cells were planned.

    Attributes:
        titles: kind → registry name → what is printed.
        order: kind → registry names in the order of the table.
        pairs: planned (train dataset, test dataset).
        conditions: planned columns.
        seeds: planned seeds.

    A name without a title is printed as it is; one without a place stands last. Where nothing is
    planned, what the results hold is taken for the plan.
    """

    titles: dict[str, dict[str, str]] = field(default_factory=dict)
    order: dict[str, list[str]] = field(default_factory=dict)
    pairs: tuple[tuple[str, str], ...] = ()
    conditions: tuple[Condition, ...] = ()
    seeds: tuple[int, ...] = ()

    def title(self, kind: Kind, name: str) -> str:
        """Return what is printed for a registry name."""
        return self.titles.get(kind, {}).get(name) or name

    def pair_title(self, train: str, test: str) -> str:
        """Return ``A``, or ``A → B`` for a model trained on A and tested on B."""
        title = self.title("datasets", train)
        return title if train == test else f"{title} → {self.title('datasets', test)}"

    def sorted(self, kind: Kind, names: Iterable[str]) -> list[str]:
        """Return the names without repeats, in the order of the table."""
        place = {name: index for index, name in enumerate(self.order.get(kind, []))}
        return sorted(set(names), key=lambda name: (place.get(name, len(place)), name))

    def planned(self, kind: Kind) -> list[str]:
        """Return the names that the order lists."""
        return self.order.get(kind, [])


Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""A stage's key. It becomes part of a path, so nothing but a digest will do."""


class Split(BaseModel):
    """How large a split is; None where it was not recorded."""

    images: int | None = None
    ids: int | None = None
    cameras: int | None = None


class DatasetRecord(BaseModel):
    """A dataset as the run found it."""

    digest: str | None = None
    root: str | None = None
    size: str | None = None
    train: Split = Split()
    query: Split = Split()
    gallery: Split = Split()


class CellRecord(BaseModel):
    """What results.csv does not say of a cell.

    Attributes:
        skipped_queries: without a valid match.
        lone_queries: the only ones of their identity.
        stages: kind → key of the stages whose artefacts the number came from.
        overrides: what the grid changed.
    """

    skipped_queries: int = 0
    lone_queries: int = 0
    stages: dict[str, Digest] = {}
    overrides: dict[str, Any] = {}


class GitRecord(BaseModel):
    """The commit the run was made from; None outside a checkout."""

    commit: str | None = None
    dirty: bool | None = None


class RunRecord(BaseModel):
    """A run's provenance. Keys this version does not know are left unread."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    schema_: Literal[1]
    name: str
    title: str = ""
    started: str | None = None
    finished: str | None = None
    command: str | None = None
    versions: dict[str, str | None] = {}
    git: GitRecord | None = None
    device: Any = None
    store: str | None = None
    datasets: dict[str, DatasetRecord] = {}
    titles: dict[str, dict[str, str]] = {}
    order: dict[str, list[str]] = {}
    grid: dict[str, Any] = {}
    defenses: dict[str, Any] = {}
    cells: dict[str, CellRecord] = {}
    failures: list[Any] = []

    @property
    def names(self) -> Names:
        """Titles and order as recorded, and what the grid planned."""
        return Names(
            titles=self.titles,
            order=self.order,
            pairs=_planned_pairs(self.grid),
            conditions=_planned_conditions(self.grid),
            seeds=_planned_seeds(self.grid),
        )


def read_record(path: Path) -> RunRecord:
    """Return what run.json holds.

    Raises:
        BenchboxError: it is missing, no JSON, of another schema, or a key has the wrong type.
    """
    where = printable(path)
    try:
        content = json.loads(read_at_most(path, size=_SIZE).decode("utf-8"))
    except OSError as error:
        raise BenchboxError(
            f"{where}: cannot be read ({error.strerror}). A run's folder holds it: is this one?"
        ) from error
    except (ValueError, RecursionError) as error:
        raise BenchboxError(f"{where}: not valid JSON ({error}). Run the grid again.") from error
    if not isinstance(content, dict) or content.get("schema") != 1:
        schema = content.get("schema") if isinstance(content, dict) else None
        raise BenchboxError(
            f"{where}: schema is {repr(schema)[:80]}, expected 1. Use the benchbox that made the "
            "run, or run the grid again with this one."
        )
    try:
        return RunRecord.model_validate({**content, "schema_": 1})
    except ValidationError as error:
        fault = error.errors()[0]
        key = printable(".".join(str(part) for part in fault["loc"]))[:200]
        raise BenchboxError(f"{where}: {key}: {fault['msg']}. Run the grid again.") from error


def _planned_pairs(grid: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    try:
        own = [(str(name), str(name)) for name in grid["datasets"]]
        return (*own, *((str(a), str(b)) for a, b in grid.get("transfers", ())))
    except (KeyError, TypeError, ValueError):
        return ()


def _planned_seeds(grid: dict[str, Any]) -> tuple[int, ...]:
    seeds = grid.get("seeds")
    return tuple(s for s in seeds if isinstance(s, int)) if isinstance(seeds, list) else ()


def _planned_conditions(grid: dict[str, Any]) -> tuple[Condition, ...]:
    try:
        budgets = [float(parse_fraction(budget) * 255) for budget in grid["budgets"]]
        paces = {str(attack): _pace(grid, attack) for attack in grid["attacks"]}
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
        return ()
    attacked = (Condition(a, eps, *pace) for a, pace in paces.items() for eps in budgets)
    return (CLEAN, *attacked)


def _pace(grid: dict[str, Any], attack: str) -> tuple[int, float]:
    """Return an attack's steps and step size (in 1/255): its own, or those of all attacks."""
    pace = {**grid, **grid.get("attack", {}).get(attack, {})}
    size = pace["step_size"]
    size_255 = float(size if isinstance(size, float) else parse_fraction(size)) * 255
    return int(pace["steps"]), round(size_255, 9)
