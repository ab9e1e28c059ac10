"""Who keeps most under the attack that hurts most, and whether its lead is more than chance."""

import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from benchbox.results.conditions import CLEAN, Condition
from benchbox.results.measurements import Group, Measurements
from benchbox.statistics.bootstrap import interval_of_identities

Row = tuple[Group, str]
"""A row of the tables: its block and its defense."""


@dataclass(frozen=True)
class Standing:
    """What a row has under one condition, in percent.

    Attributes:
        defense: the registry's name.
        mAP: mean over the seeds under the condition.
        clean: mean over the seeds without an attack; None where that was not measured.
    """

    defense: str
    mAP: float  # noqa: N815  the field's own name
    clean: float | None

    @property
    def share(self) -> float | None:
        """Which part of the clean mAP is kept, from 0; None where there is none to keep."""
        return self.mAP / self.clean if self.clean else None


@dataclass(frozen=True)
class Lead:
    """By how much the first row is ahead of the second, over the seeds that both have.

    Attributes:
        points: difference of their mAP in percentage points.
        interval: 95% bootstrap interval of the difference over identities, which both rows were
            measured on; None where per_id.csv does not have them.
        ahead: in how many seeds the first has more.
        seeds: how many seeds both have.
    """

    points: float
    interval: tuple[float, float] | None
    ahead: int
    seeds: int


def hardest(cells: Measurements) -> Condition | None:
    """Return the attack that leaves least at the smallest budget, on average over the rows.

    Attacks on the gallery are another threat: they are looked at where nothing else was run.

    Only rows measured under every such attack count, as far as there are any, since means over
    different rows do not compare. None where nothing was attacked.
    """
    attacked = {condition for _, _, condition in cells.scores if not condition.is_clean}
    threats = cells.names.threats
    measured = {c for c in attacked if threats.get(c.attack) != "gallery"} or attacked
    smallest = min((condition.eps_255 for condition in measured), default=None)
    candidates = [c for c in cells.conditions if c in measured and c.eps_255 == smallest]
    rows = [(group, defense) for group in cells.groups for defense in cells.rows_of(group)]
    whole = [row for row in rows if all(cells.at(*row, c) for c in candidates)] or rows

    def left(condition: Condition) -> float:
        return statistics.fmean(
            mean for row in whole if (mean := _mean(cells, row, condition)) is not None
        )

    return min(candidates, key=left, default=None)


def standings(
    cells: Measurements, group: Group, condition: Condition, *, without: Collection[Row] = ()
) -> list[Standing]:
    """Return the rows of a block that were measured under a condition, the best first.

    Args:
        cells: the run's cells.
        group: the block.
        condition: clean, or an attack with its budget.
        without: rows to leave out, such as collapsed models: chance keeps all of nothing.
    """
    found = [
        Standing(defense, mean, _mean(cells, (group, defense), CLEAN))
        for defense in cells.rows_of(group)
        if (group, defense) not in without
        and (mean := _mean(cells, (group, defense), condition)) is not None
    ]
    return sorted(found, key=lambda row: -row.mAP)


def lead(
    cells: Measurements,
    per_id: Mapping[str, pd.DataFrame],
    group: Group,
    condition: Condition,
    *,
    pair: tuple[str, str],
) -> Lead | None:
    """Return by how much the first defense of a pair leads the second; None without common seeds.

    Args:
        cells: the run's cells.
        per_id: cell → its rows of per_id.csv; see `by_cell`.
        group: the block of both.
        condition: what the queries went through.
        pair: the registry names of both.
    """
    first, second = (cells.at(group, defense, condition) for defense in pair)
    seeds = [seed for seed in first if seed in second]
    if not seeds:
        return None
    points = [first[seed].mAP - second[seed].mAP for seed in seeds]
    rows = [(per_id.get(first[seed].cell), per_id.get(second[seed].cell)) for seed in seeds]
    return Lead(
        statistics.fmean(points),
        _interval([(a, b) for a, b in rows if a is not None and b is not None]),
        sum(point > 0 for point in points),
        len(seeds),
    )


def by_cell(per_id: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the rows of per_id.csv by cell, indexed by identity."""
    return {str(cell): rows.set_index("pid") for cell, rows in per_id.groupby("cell")}


def _interval(pairs: Sequence[tuple[pd.DataFrame, pd.DataFrame]]) -> tuple[float, float] | None:
    """Return the interval of the mean difference, a seed a pair, in percentage points."""
    differences = (
        pd.concat([100 * (a["ap"] - b["ap"]) for a, b in pairs], axis=1) if pairs else None
    )
    if differences is None:
        return None
    mean = differences.dropna().mean(axis=1).sort_index()
    if mean.empty:
        return None
    return interval_of_identities(mean.to_numpy(), pairs[0][0].loc[mean.index, "queries"])


def _mean(cells: Measurements, row: Row, condition: Condition) -> float | None:
    scores = cells.at(*row, condition).values()
    return statistics.fmean(score.mAP for score in scores) if scores else None
