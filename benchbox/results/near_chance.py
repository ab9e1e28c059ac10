"""Which rows of a run have collapsed: clean mAP near what a random ranking gets.

Such a model has nothing to lose. Its mAP under attack, chance again, may be the highest of a table,
and says nothing of robustness.
"""

from collections.abc import Sequence

from benchbox.evaluation.chance import is_near_chance
from benchbox.results.conditions import CLEAN
from benchbox.results.measurements import Group, Measurements


def collapsed_seeds(cells: Measurements, group: Group, defense: str) -> tuple[int, ...]:
    """Return the seeds of a row whose clean mAP is near chance; none where chance is not known."""
    chance = cells.names.chance.get(group.test)
    if chance is None:
        return ()
    clean = cells.at(group, defense, CLEAN)
    return tuple(seed for seed, score in clean.items() if is_near_chance(score.mAP, chance))


def collapsed_rows(parts: Sequence[Measurements]) -> set[tuple[Group, str]]:
    """Return the rows, block and defense, of which a seed has collapsed."""
    return {
        (group, defense)
        for cells in parts
        for group in cells.groups
        for defense in cells.rows_of(group)
        if collapsed_seeds(cells, group, defense)
    }
