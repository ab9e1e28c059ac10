"""Which ranks are one group: entries whose intervals do not part them from the group's first."""

from collections.abc import Sequence
from dataclasses import dataclass

Ends = tuple[float, float]
"""The lower and the upper end of an interval."""


@dataclass(frozen=True)
class RankGroup:
    """Places of a ranking that the intervals do not tell apart.

    Attributes:
        first: the place of the group's first entry, from 1.
        last: the place of its last entry.
    """

    first: int
    last: int

    @property
    def size(self) -> int:
        """How many entries it has."""
        return self.last - self.first + 1

    @property
    def title(self) -> str:
        """The places in words: ``1–9``, or ``10`` for an entry by itself."""
        return str(self.first) if self.size == 1 else f"{self.first}–{self.last}"


def rank_groups(intervals: Sequence[Ends]) -> list[RankGroup]:
    """Return the group of every entry of a ranking.

    An entry is in its predecessors' group until its interval no longer overlaps that of the group's
    first entry; it then begins the next group. All are held against the first, not against their
    neighbours: in a chain of overlaps the last may lie far below the first. Touching intervals
    overlap. Entries of one board are measured on the same people, so that a paired comparison,
    which needs the queries' results, may still part two of a group.

    Args:
        intervals: (N,) of the number that ranks, the best entry first.

    Returns:
        (N,) the group of each.
    """
    firsts: list[int] = []
    for place, (_, high) in enumerate(intervals):
        low_of_first = intervals[firsts[-1]][0] if firsts else float("inf")
        firsts.append(firsts[-1] if firsts and high >= low_of_first else place)
    lasts = {first: place for place, first in enumerate(firsts)}
    return [RankGroup(first + 1, lasts[first] + 1) for first in firsts]
