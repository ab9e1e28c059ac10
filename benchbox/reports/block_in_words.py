"""One block of a run's tables in sentences: who keeps most, whether by chance, what is lost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from benchbox.reports.standings import Lead, Standing, lead, standings
from benchbox.results.conditions import Condition
from benchbox.results.measurements import Group, Measurements

_LOST = 0.1
"""A row that keeps less than this part of its clean mAP counts as lost."""

_NAMED = 3
"""Names that a sentence holds; of more it gives the number."""


@dataclass(frozen=True)
class BlockInWords:
    """A block of the tables under one condition.

    Attributes:
        cells: the run's cells.
        group: the block.
        condition: clean, or the attack that the sentences are about.
        rows: what is compared, the best first; at least one.
    """

    cells: Measurements
    group: Group
    condition: Condition
    rows: Sequence[Standing]

    def sentences(self, per_id: Mapping[str, pd.DataFrame]) -> list[str]:
        """Return the sentences that the block has numbers for.

        Args:
            per_id: cell → its rows of per_id.csv, by identity.
        """
        if self.condition.is_clean:
            return [self._clean(), *self._lead(per_id)]
        return [self._kept(), *self._lead(per_id), *self._other_columns(), *self._lost()]

    @property
    def _cleanest(self) -> Standing | None:
        measured = [row for row in self.rows if row.clean is not None]
        return max(measured, key=lambda row: row.clean or 0.0, default=None)

    def _clean(self) -> str:
        best = self.rows[0]
        return f"{self._title(best)} has {best.mAP:.1f} mAP on clean queries; nothing was attacked."

    def _kept(self) -> str:
        """Return what the best row keeps, beside what the best row on clean queries keeps."""
        best, cleanest = self.rows[0], self._cleanest
        under = self.cells.condition_title(self.condition)
        says = f"{self._title(best)} keeps {_of_clean(best)} mAP under {under}"
        if len(self.rows) == 1 or cleanest is None:
            return f"{says}."
        if cleanest is best:
            return f"{says}, and has the highest clean mAP too."
        beside = f"{self._title(cleanest)}, the best on clean queries, {_of_clean(cleanest)}"
        return f"{says}; {beside}."

    def _lead(self, per_id: Mapping[str, pd.DataFrame]) -> list[str]:
        """Return whether the lead is more than who was tested and how training went."""
        if len(self.rows) == 1:
            return []
        best, second = self.rows[:2]
        pair = (best.defense, second.defense)
        ahead = lead(self.cells, per_id, self.group, self.condition, pair=pair)
        if ahead is None:
            return [f"{self._title(second)} is next, with no seed in common to compare them by."]
        said_before = self._cleanest is second and not self.condition.is_clean
        has = "" if said_before else f" ({_of_clean(second)})"
        return [
            f"Its lead over {self._title(second)}{has} is {_signed(ahead.points)} points"
            f"{_over_identities(ahead)}; {_over_seeds(ahead)}."
        ]

    def _other_columns(self) -> list[str]:
        """Return under how many of the other attacks and budgets the best row is the best."""
        compared = {row.defense for row in self.rows}
        firsts: dict[Condition, Standing] = {}
        for condition in self.cells.conditions:
            if condition.is_clean or condition == self.condition:
                continue
            rows = standings(self.cells, self.group, condition)
            rows = [row for row in rows if row.defense in compared]
            if len(rows) > 1:
                firsts[condition] = rows[0]
        if not firsts:
            return []
        columns = f"the other {len(firsts)} columns" if len(firsts) > 1 else "the other column"
        lost = [
            f"{self._title(row)} under {self.cells.condition_title(condition)}"
            for condition, row in firsts.items()
            if row.defense != self.rows[0].defense
        ]
        if not lost:
            return [f"It is first in {columns} under attack, too."]
        more = f" and {len(lost) - _NAMED} more" if len(lost) > _NAMED else ""
        count = len(firsts) - len(lost)
        return [
            f"It is first in {count or 'none'} of {columns} under attack; elsewhere it is "
            f"{', '.join(lost[:_NAMED])}{more}."
            if len(firsts) > 1
            else f"In {columns} under attack another is first: {lost[0]}."
        ]

    def _lost(self) -> list[str]:
        """Return how many rows keep next to nothing."""
        shares = [(row, row.share) for row in self.rows if row.share is not None]
        lost = [row for row, share in shares if share < _LOST]
        if not lost or len(self.rows) == 1:
            return []
        names = f" ({', '.join(map(self._title, lost))})" if len(lost) <= _NAMED else ""
        verb, whose = ("keeps", "its") if len(lost) == 1 else ("keep", "their")
        return [
            f"{len(lost)} of {len(shares)}{names} {verb} less than a tenth of {whose} clean mAP."
        ]

    def _title(self, row: Standing) -> str:
        return self.cells.names.title("defenses", row.defense)


def _of_clean(row: Standing) -> str:
    """Return ``12.2 of 51.8``; on clean queries, or without them, one number."""
    if row.clean is None or row.clean == row.mAP:
        return f"{row.mAP:.1f}"
    return f"{row.mAP:.1f} of {row.clean:.1f}"


def _over_identities(ahead: Lead) -> str:
    if ahead.interval is None:
        return ""
    low, high = ahead.interval
    verdict = (
        "so that it does not hang on who was tested"
        if low > 0
        else "so that with other people the order could turn"
    )
    return f", 95% over identities {_signed(low)} to {_signed(high)}, {verdict}"


def _over_seeds(ahead: Lead) -> str:
    if ahead.seeds == 1:
        return "with one seed to compare, what another training would change is not known"
    return f"it is ahead in {ahead.ahead} of {ahead.seeds} seeds"


def _signed(points: float) -> str:
    return f"{points:.2f}".replace("-", "−")
