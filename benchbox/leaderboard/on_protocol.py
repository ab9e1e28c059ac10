"""What a run lacks of a board's protocol, or does otherwise: all of it, not the first."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from inspect import signature

from attacks import ALL_ATTACKS, WorstCase
from benchbox.data.counting import Counts
from benchbox.errors import BenchboxError
from benchbox.files.printable import printable
from benchbox.leaderboard.board_protocol import Protocol
from benchbox.reports.cautions import describe
from benchbox.results.cells import cells_of, run_grid_of
from benchbox.results.conditions import Condition
from benchbox.results.measurements import Group
from benchbox.results.run_folder import RunFolder
from benchbox.runs.attack_stages import is_pooled
from benchbox.runs.grid import Grid, parse_fraction
from benchbox.runs.record import DatasetRecord, RowRecord
from benchbox.runs.stages.base import of_255

_SHOWN_FAILURES = 10


def grid_deviations(grid: Grid, protocol: Protocol, *, is_given: bool = False) -> list[str]:
    """Return how a grid differs from what a protocol asks for; more than it asks for is fine.

    Args:
        grid: of the run.
        protocol: the board's.
        is_given: whether the row is a given model, which has a size and a backbone of its own.
    """
    found = []
    if grid.validation:
        found.append("validation: the run was made on held-out training identities")
    wanted: dict[str, object] = {
        "steps": protocol.steps,
        "step_size": parse_fraction(protocol.step_size),
        "guides": protocol.guides,
        "distance": protocol.distance,
        "ap": protocol.ap,
        "precision": protocol.precision,
        "eight_bit": False,
    }
    if not is_given:
        wanted |= {"flip_test": False, "ranked_by": "euclidean"}
    if protocol.image_size is not None and not is_given:
        wanted["image_size"] = protocol.image_size
    if protocol.sidewalk_size is not None:
        wanted["sidewalk_size"] = protocol.sidewalk_size
    for key, value in wanted.items():
        given = getattr(grid, key)
        if given != value:
            found.append(f"{key}: the run has {_shown(given)}, the protocol {_shown(value)}")
    found += _attack_deviations(grid, protocol)
    own = {(name, name) for name in grid.datasets}
    for kind, needed, there in (
        ("attack", protocol.attacks, grid.attacks),
        ("budget", protocol.fractions, grid.budgets),
        ("seed", protocol.seeds, grid.seeds),
        ("dataset", [train for train, _ in protocol.required_pairs], [name for name, _ in own]),
    ):
        missing = [value for value in needed if value not in there]
        found += [f"{kind} {_shown(value)} is missing" for value in missing]
    if protocol.backbones and not is_given and not set(protocol.backbones) & set(grid.backbones):
        found.append(f"backbone {' or '.join(protocol.backbones)} is missing")
    return found


def _attack_deviations(grid: Grid, protocol: Protocol) -> Iterator[str]:
    """Yield where single attacks differ from what a protocol asks of them.

    The worst case is pooled with a grid's other attacks, so with it the board fixes their list.
    """
    for name in protocol.attacks:
        wanted = protocol.parameters_of(name)
        own = {key: value for key, value in grid.attack.get(name, {}).items() if key != "budgets"}
        if changed := [key for key in own if key not in wanted]:
            yield f"attack {name}: the run changes {', '.join(changed)}, the protocol nothing"
        for key, value in wanted.items():
            if own.get(key, _default(name, key)) != value:
                yield f"attack {name}: {key}: the run has {own.get(key)}, the protocol {value}"
        missing = [b for b in protocol.fractions_of(name) if b not in grid.budgets_of(name)]
        if name in grid.attack or name in protocol.attack:
            yield from (f"attack {name}: budget {of_255(budget)} is missing" for budget in missing)
    if WorstCase.name in protocol.attacks:
        ranked = set(protocol.fractions_of(WorstCase.name))
        for name in grid.attacks:
            pooled = name not in ALL_ATTACKS or is_pooled(ALL_ATTACKS[name])
            if pooled and name not in protocol.attacks and ranked & set(grid.budgets_of(name)):
                yield (
                    f"attack {name}: is not the protocol's, and the worst case is pooled with it: "
                    "leave it out"
                )


def _default(attack: str, key: str) -> object:
    """Return what an attack's parameter is where nobody sets it."""
    kind = ALL_ATTACKS.get(attack)
    return signature(kind).parameters[key].default if kind else None


def size_deviations(described: object, protocol: Protocol) -> list[str]:
    """Return how a given model's image size differs from what a board asks for.

    Args:
        described: the defense as a run's record has it; one that benchbox trained is not asked.
        protocol: the board's.
    """
    given = described.get("given") if isinstance(described, dict) else None
    if protocol.image_size is None or not isinstance(given, dict):
        return []
    size = given.get("image_size")
    if size == list(protocol.image_size):
        return []
    wanted = " × ".join(map(str, protocol.image_size))
    return [f"image_size: the model takes {str(size)[:40]}, the board {wanted}"]


def groups_of(run: RunFolder, defense: str, protocol: Protocol) -> tuple[Group, ...]:
    """Return the groups of cells that a board takes: same dataset first, then transfers."""
    names = {dataset.name for dataset in protocol.datasets}
    rows = [(row.backbone, row.train, row.test) for row in planned_rows(run, defense)]
    groups = [
        Group(*row)
        for row in dict.fromkeys(rows)
        if {row[1], row[2]} <= names and (not protocol.backbones or row[0] in protocol.backbones)
    ]
    return tuple(sorted(groups, key=lambda group: group.train != group.test))


def planned_rows(run: RunFolder, defense: str) -> list[RowRecord]:
    """Return where a defense was to be measured, as the run's record or else its grid says.

    Raises:
        BenchboxError: the record's grid is malformed.
    """
    if run.record.rows:
        return [row for row in run.record.rows if row.defense == defense]
    grid = run_grid_of(run)
    pairs = dict.fromkeys([*((name, name) for name in grid.datasets), *grid.transfers])
    return [
        RowRecord(train=train, test=test, backbone=backbone, defense=defense, seed=seed)
        for backbone in grid.backbones
        for train, test in pairs
        for seed in grid.seeds
    ]


def is_given(run: RunFolder, defense: str) -> bool:
    """Return whether a row of a run is a model that was trained elsewhere."""
    return defense in run.record.names.given


def run_deviations(run: RunFolder, protocol: Protocol, groups: Sequence[Group]) -> list[str]:
    """Return what else a run's record has against it: unfinished, failed, other datasets."""
    found = []
    if run.record.finished is None:
        found.append("the run has not finished")
    failures = run.record.failures
    found += [f"failed: {describe(failure)[:300]}" for failure in failures[:_SHOWN_FAILURES]]
    if len(failures) > _SHOWN_FAILURES:
        found.append(f"failed: {len(failures) - _SHOWN_FAILURES} more")
    for name in dict.fromkeys(name for group in groups for name in (group.train, group.test)):
        found += _dataset_deviations(name, run.record.datasets.get(name), protocol)
    return found


def missing_cells(
    run: RunFolder, defense: str, protocol: Protocol, groups: Sequence[Group]
) -> list[str]:
    """Return one line for each number of the protocol that results.csv does not have."""
    there = set(cells_of(run, defense))
    return [
        f"no result: {group.backbone}, {group.train} → {group.test}, {_condition(condition)}, "
        f"seed {seed}"
        for group in groups
        for condition in protocol.conditions
        for seed in protocol.seeds
        if (group, condition, seed) not in there
    ]


def require_defense(run: RunFolder, defense: str) -> None:
    """Check that a run has a defense.

    Raises:
        BenchboxError: it has not; the message names those it has.
    """
    there = sorted(set(run.results["defense"]))
    if defense not in there or defense not in run.record.defenses:
        raise BenchboxError(
            f"{printable(run.path)}: has no results of defense {defense!r}. "
            f"It has: {printable(', '.join(there))}."
        )


def _dataset_deviations(
    name: str, found: DatasetRecord | None, protocol: Protocol
) -> Iterator[str]:
    wanted = protocol.dataset(name)
    if wanted is None or found is None:
        yield f"dataset {name}: run.json does not describe it"
        return
    if found.digest is None:
        yield f"dataset {name}: run.json has no digest of it"
    elif wanted.digest is not None and found.digest != wanted.digest:
        yield f"dataset {name}: digest {found.digest[:12]}…, the protocol has {wanted.digest[:12]}…"
    if found.size != wanted.size:
        yield f"dataset {name}: size {found.size}, the protocol has {wanted.size}"
    if wanted.counts is not None:
        yield from _count_deviations(name, found, wanted.counts)


def _count_deviations(name: str, found: DatasetRecord, wanted: Counts) -> Iterator[str]:
    for what, given, official in (
        ("training images", found.train.images, wanted.train_images),
        ("training identities", found.train.ids, wanted.train_ids),
        ("query images", found.query.images, wanted.query_images),
        ("query identities", found.query.ids, wanted.query_ids),
        ("gallery images", found.gallery.images, wanted.gallery_images),
    ):
        if given != official:
            yield f"dataset {name}: {given} {what}, officially {official}"


def _condition(condition: Condition) -> str:
    return "clean" if condition.is_clean else f"{condition.attack} {condition.budget}"


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return " × ".join(map(str, value))
    if isinstance(value, Fraction):
        return of_255(value)
    return printable(str(value))
