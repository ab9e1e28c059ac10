"""A run's cells by place: which group, which defense, which condition, which seed."""

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import pandas as pd

from benchbox.errors import BenchboxError
from benchbox.results.conditions import CLEAN, CORRUPTED, Condition
from benchbox.results.record import Names
from benchbox.results.run_folder import condition_of

Under = Literal["attack", "corruption"]
"""``attack``: clean and under attacks; ``corruption``: where chance corrupts images."""

Pairs = Literal["same", "transfer"]
"""``same``: tested on the dataset trained on; ``transfer``: on another."""


class Group(NamedTuple):
    """What the defenses of one block of a table share."""

    backbone: str
    train: str
    test: str


class Score(NamedTuple):
    """What was measured in a cell, in percent.

    Attributes:
        mAP: mean average precision.
        rank1: Rank-1.
        cell: the cell's id.
        shown: what tables print of it, mAP first; see `Names.shown`.
    """

    mAP: float  # noqa: N815  the field's own name
    rank1: float
    cell: str
    shown: tuple[float, ...] = ()


Place = tuple[Group, str, Condition]


@dataclass(frozen=True)
class Measurements:
    """What a table or figure draws from.

    Attributes:
        names: titles and order.
        groups: blocks, in order.
        defenses: rows of every block, in order.
        conditions: columns, clean first, in order.
        seeds: all seeds, planned or present, sorted.
        scores: (group, defense, condition) → seed → score; a place without a result is absent.
        expected: (group, defense) → over how many seeds it was planned; a pair that is neither
            planned nor measured is absent.
    """

    names: Names
    groups: tuple[Group, ...]
    defenses: tuple[str, ...]
    conditions: tuple[Condition, ...]
    seeds: tuple[int, ...]
    scores: dict[Place, dict[int, Score]]
    expected: dict[tuple[Group, str], int]

    def rows_of(self, group: Group) -> list[str]:
        """Return the defenses of one block, in order."""
        return [defense for defense in self.defenses if (group, defense) in self.expected]

    def at(self, group: Group, defense: str, condition: Condition) -> dict[int, Score]:
        """Return the scores of a place by seed, sorted; none where nothing was measured."""
        return dict(sorted(self.scores.get((group, defense, condition), {}).items()))

    def places(self) -> Iterator[Place]:
        """Yield every place of the table, measured or not."""
        for group in self.groups:
            for defense in self.rows_of(group):
                for condition in self.conditions:
                    yield group, defense, condition

    @property
    def planned(self) -> int:
        """How many results a complete table rests on."""
        return len(self.conditions) * sum(self.expected.values())

    @property
    def missing(self) -> int:
        """How many of them are not there."""
        return self.planned - sum(len(self.at(*place)) for place in self.places())

    def group_title(self, group: Group) -> str:
        """Return the group in words."""
        return " · ".join(self.group_titles(group))

    def group_titles(self, group: Group) -> tuple[str, str]:
        """Return model and dataset as printed."""
        model = self.names.title("backbones", group.backbone)
        return model, self.names.pair_title(group.train, group.test)

    def condition_title(self, condition: Condition) -> str:
        """Return ``Clean``, or the attack and its budget."""
        if condition.is_clean:
            return "Clean"
        title = self.names.title("attacks", condition.attack)
        return f"{title} {self.budget(condition)}".rstrip()

    def budget(self, condition: Condition) -> str:
        """Return ``8/255-16``, with the step size where that alone tells two columns apart."""
        same = [c for c in self.conditions if c.attack == condition.attack]
        same = [c for c in same if c.budget == condition.budget]
        step = f" by {condition.step_size_255:g}/255" if len(same) > 1 else ""
        return condition.budget + step


def measurements(
    results: pd.DataFrame,
    names: Names,
    *,
    pairs: Pairs = "same",
    rows: Collection[str] | None = None,
    under: Under = "attack",
) -> Measurements:
    """Return the cells of a run that one kind of table shows.

    What the names plan has its place even where nothing was measured yet.

    Args:
        results: results.csv.
        names: titles, order and plan.
        pairs: which pairs of datasets.
        rows: names of the defenses to show; None shows all.
        under: what the images went through.

    Raises:
        BenchboxError: two rows have the same place and seed.
    """
    wanted = (results["train_dataset"] == results["test_dataset"]) == (pairs == "same")
    wanted &= results["attack"].isin(CORRUPTED) == (under == "corruption")
    scores: dict[Place, dict[int, Score]] = {}
    seeds = set(names.seeds)
    if rows is not None:
        wanted &= results["defense"].isin(list(rows))
    for row in results.loc[wanted].to_dict("records"):
        group = Group(row["backbone"], row["train_dataset"], row["test_dataset"])
        by_seed = scores.setdefault((group, row["defense"], condition_of(row)), {})
        seed = int(row["seed"])
        seeds.add(seed)
        if seed in by_seed:
            raise BenchboxError(
                f"results.csv: cells {by_seed[seed].cell} and {row['cell']} have the same place "
                "in the table. Run the grid again."
            )
        shown = tuple(float(row[name]) for name in names.shown if name in row)
        by_seed[seed] = Score(float(row["mAP"]), float(row["rank1"]), str(row["cell"]), shown)
    measured = {(group, defense) for group, defense, _ in scores}
    planned = [name for name in names.planned("defenses") if rows is None or name in rows]
    defenses = {defense for _, defense, _ in scores} | set(planned)
    conditions = {condition for _, _, condition in scores}
    planned_conditions = {CLEAN, *names.conditions}
    conditions |= {
        condition
        for condition in planned_conditions
        if (condition.attack in CORRUPTED) == (under == "corruption")
    }
    groups = {group for group, _ in measured} | _planned_groups(names, pairs)
    if names.rows:
        counted = _planned_rows(names, pairs, defenses)
    else:
        counted = Counter({(g, d): len(seeds) for g in groups for d in defenses})
    return Measurements(
        names=names,
        groups=_sorted_groups(groups, names),
        defenses=tuple(names.sorted("defenses", defenses)),
        conditions=_sorted_conditions(conditions, names),
        seeds=tuple(sorted(seeds)),
        scores=scores,
        expected={place: max(1, counted[place]) for place in {*counted, *measured}},
    )


def measurements_at_home(results: pd.DataFrame, names: Names) -> Measurements:
    """Return the cells of the models that were tested on the dataset they were trained on.

    Raises:
        BenchboxError: there is none, or two rows have the same place and seed.
    """
    cells = measurements(results, names)
    if not cells.scores:
        raise BenchboxError("results.csv: no model was tested on the dataset it was trained on.")
    return cells


def _planned_rows(
    names: Names, pairs: Pairs, defenses: Collection[str]
) -> Counter[tuple[Group, str]]:
    """Return over how many seeds each row of each block was planned."""
    return Counter(
        (Group(row.backbone, row.train, row.test), row.defense)
        for row in names.rows
        if (row.train == row.test) == (pairs == "same") and row.defense in defenses
    )


def _planned_groups(names: Names, pairs: Pairs) -> set[Group]:
    if names.rows:
        rows = [row for row in names.rows if (row.train == row.test) == (pairs == "same")]
        return {Group(row.backbone, row.train, row.test) for row in rows}
    wanted = [(a, b) for a, b in names.pairs if (a == b) == (pairs == "same")]
    return {Group(backbone, a, b) for backbone in names.planned("backbones") for a, b in wanted}


def _sorted_groups(groups: set[Group], names: Names) -> tuple[Group, ...]:
    backbones = names.sorted("backbones", (group.backbone for group in groups))
    datasets = names.sorted("datasets", (name for group in groups for name in group[1:]))

    def place(group: Group) -> tuple[int, int, int]:
        return (
            backbones.index(group.backbone),
            datasets.index(group.train),
            datasets.index(group.test),
        )

    return tuple(sorted(groups, key=place))


def _sorted_conditions(conditions: set[Condition], names: Names) -> tuple[Condition, ...]:
    attacks = names.sorted("attacks", (condition.attack for condition in conditions))

    def place(c: Condition) -> tuple[bool, int, float, int, float]:
        return not c.is_clean, attacks.index(c.attack), c.eps_255, c.steps, c.step_size_255

    return tuple(sorted(conditions, key=place))
