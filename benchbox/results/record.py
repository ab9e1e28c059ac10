"""Reads run.json: where a run's numbers come from, and what its tables call things."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from benchbox.data.jpeg import QUALITY
from benchbox.errors import BenchboxError
from benchbox.files.bounded import Links, read_at_most
from benchbox.files.printable import printable
from benchbox.results.conditions import CLEAN, Condition
from benchbox.results.training import TrainingSaid, training_said
from benchbox.runs.columns import FURTHER_PERCENT
from benchbox.runs.grid import parse_fraction
from benchbox.runs.record import RUN_SCHEMA, AttackRecord, RowRecord, RunRecord
from benchbox.untrusted.json import RUN, as_record, parse_json

SHOWN = ("mAP", "rank1")
"""What a cell of the paper's tables shows, as columns of results.csv."""

Kind = Literal["defenses", "attacks", "datasets", "backbones"]


@dataclass(frozen=True)
class Stated:
    """What a run says of a given model and its use.

    Attributes:
        trained_on: the dataset it was trained on, as its owner states it; None where not stated.
        image_size: (height, width) it takes; None where the run does not say.
        cosine: whether it is ranked by the cosine, and attacked so.
        flip_test: whether an image and its mirror are embedded.
        hardened: the recipe it was then trained on by; empty where it was left as it came.
    """

    trained_on: str | None = None
    image_size: tuple[int, int] | None = None
    cosine: bool = False
    flip_test: bool = False
    hardened: str = ""


@dataclass(frozen=True)
class Names:
    """What tables call things, in which order they stand, and which cells were planned.

    Attributes:
        titles: kind → registry name → what is printed.
        order: kind → registry names in the order of the table.
        pairs: planned (train dataset, test dataset).
        conditions: planned columns.
        seeds: planned seeds.
        rows: what was planned, row by row; none where the run does not say: every combination of
            the above is taken for planned then.
        chance: dataset → mAP of a random ranking in percent; nothing of runs that do not say.
        threats: attack → its threat model; nothing of runs that do not say.
        given: defense → what is stated of its given model.
        through: attack → what its images pass before the model, of those that pass something.
        shown: the columns of results.csv that a cell of the tables shows, mAP first.
        training: how rows were trained beside each other, and what that cost.

    A name without a title is printed as it is; one without a place stands last. Where nothing is
    planned, what the results hold is taken for the plan.
    """

    titles: dict[str, dict[str, str]] = field(default_factory=dict)
    order: dict[str, list[str]] = field(default_factory=dict)
    pairs: tuple[tuple[str, str], ...] = ()
    conditions: tuple[Condition, ...] = ()
    seeds: tuple[int, ...] = ()
    rows: tuple[RowRecord, ...] = ()
    chance: dict[str, float] = field(default_factory=dict)
    threats: dict[str, str] = field(default_factory=dict)
    given: dict[str, Stated] = field(default_factory=dict)
    through: dict[str, str] = field(default_factory=dict)
    shown: tuple[str, ...] = SHOWN
    training: TrainingSaid = field(default_factory=TrainingSaid)

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


class ReadRecord(RunRecord):
    """A run's record as it was read, with what its tables call things."""

    @property
    def names(self) -> Names:
        """Titles and order as recorded, and what the grid planned."""
        return Names(
            titles=self.titles,
            order=self.order,
            pairs=_planned_pairs(self.grid),
            conditions=tuple(c for c in self._planned if c.attack not in self._targeted),
            threats={name: attack.threat for name, attack in self.attacks.items()},
            seeds=_planned_seeds(self.grid),
            rows=tuple(self.rows),
            chance={n: d.chance for n, d in self.datasets.items() if d.chance is not None},
            given=_given(self.defenses),
            through={name: each.through for name, each in self.attacks.items() if each.through},
            shown=_shown(self.grid),
            training=training_said(self),
        )

    @property
    def names_of_targeted(self) -> Names:
        """The same for targeted.csv: its columns are planned, and no others."""
        planned = tuple(c for c in self._planned if c.attack in self._targeted)
        return replace(self.names, conditions=planned)

    @property
    def _targeted(self) -> set[str]:
        """The attacks that make queries retrieve somebody, whose numbers stand apart."""
        return {name for name, attack in self.attacks.items() if attack.threat == "targeted"}

    @property
    def _planned(self) -> tuple[Condition, ...]:
        return _planned_conditions(self.grid, self.attacks, self.order.get("attacks"))

    @property
    def jpeg_quality(self) -> int:
        """Of the JPEG that kept images passed, which older runs do not say."""
        quality = self.grid.get("jpeg_quality")
        return quality if isinstance(quality, int) else QUALITY


def read_record(path: Path, *, links: Links = "followed") -> ReadRecord:
    """Return what run.json holds, which may come from a stranger.

    Keys that this version does not know are left unread: other versions write others.

    Raises:
        BenchboxError: it cannot be read, is no JSON within bounds, of another schema, or a key
            has the wrong type.
    """
    where = printable(path)
    try:
        content = read_at_most(path, size=RUN.size, links=links)
    except OSError as error:
        raise BenchboxError(
            f"{where}: {error.strerror}: it cannot be read. A run's folder holds it: is this one?"
        ) from error
    found = parse_json(content, where=where, limits=RUN)
    schema = found.get("schema") if isinstance(found, dict) else None
    if schema != RUN_SCHEMA:
        raise BenchboxError(
            f"{where}: schema is {repr(schema)[:80]}, expected {RUN_SCHEMA}. Use the benchbox that "
            "made the run, or run the grid again with this one."
        )
    return as_record(found, ReadRecord, where=where, unknown="left unread")


def _given(defenses: dict[str, Any]) -> dict[str, Stated]:
    found: dict[str, Stated] = {}
    for name, described in defenses.items():
        given = described.get("given") if isinstance(described, dict) else None
        if isinstance(given, dict):
            recipe = described.get("recipe")
            hardened = recipe.get("name") if isinstance(recipe, dict) else None
            found[name] = replace(
                _stated(given), hardened=printable(hardened) if isinstance(hardened, str) else ""
            )
    return found


def _stated(given: dict[str, Any]) -> Stated:
    """Return what a record that may be a stranger's says of a given model."""
    trained_on = given.get("trained_on")
    size: tuple[int, int] | None
    match given.get("image_size"):
        case [int(height), int(width)]:
            size = height, width
        case _:
            size = None
    return Stated(
        trained_on=trained_on if isinstance(trained_on, str) else None,
        image_size=size,
        cosine=given.get("distance") == "cosine",
        flip_test=given.get("flip_test") is True,
    )


def _shown(grid: dict[str, Any]) -> tuple[str, ...]:
    """Return the columns that the grid wants shown; runs of before it could say so show two."""
    shown = grid.get("shown")
    if not isinstance(shown, list):
        return SHOWN
    known = [name for name in shown if isinstance(name, str)]
    further = (name for name in known if FURTHER_PERCENT.fullmatch(name))
    return tuple(dict.fromkeys(["mAP", *further]))


def _planned_pairs(grid: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    try:
        own = [(str(name), str(name)) for name in grid["datasets"]]
        return (*own, *((str(a), str(b)) for a, b in grid.get("transfers", ())))
    except (KeyError, TypeError, ValueError):
        return ()


def _planned_seeds(grid: dict[str, Any]) -> tuple[int, ...]:
    seeds = grid.get("seeds")
    return tuple(s for s in seeds if isinstance(s, int)) if isinstance(seeds, list) else ()


def _planned_conditions(
    grid: dict[str, Any], attacks: dict[str, AttackRecord], order: list[str] | None
) -> tuple[Condition, ...]:
    """Return clean and each attack at its budgets, in the order of the table.

    Runs of before attacks were recorded had one list of budgets for all.
    """
    try:
        if attacks:
            recorded = ((str(name), attacks[name]) for name in order or grid["attacks"])
            conditions = (
                Condition(name, float(parse_fraction(b) * 255), each.steps, each.step_size_255)
                for name, each in recorded
                for b in each.budgets
            )
            return (CLEAN, *conditions)
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
