"""What a rerun of an entry gives: the queries' scores, and numbers beside those entered."""

from collections.abc import Mapping
from dataclasses import dataclass

from benchbox.results.conditions import Condition
from benchbox.results.per_query import PerQuery


@dataclass(frozen=True, kw_only=True)
class Recomputed:
    """One number, as the entry has it and as it came out.

    Attributes:
        what: the number's name, for whoever reads of a difference.
        entered: what the entry has, in percent or as a count.
        found: what came out, in the same unit.
        tolerance: how far the two may differ.
    """

    what: str
    entered: float
    found: float
    tolerance: float

    @property
    def difference(self) -> float:
        """How far the entry is off."""
        return self.found - self.entered

    @property
    def agrees(self) -> bool:
        """Whether the two are close enough."""
        return abs(self.difference) <= self.tolerance


@dataclass(frozen=True)
class Scores:
    """What a rerun found.

    Attributes:
        found: (condition, seed) → the AP and the first hits of its queries.
        gallery: how many images were searched.
        lone: how many queries are the only one of their identity.
    """

    found: Mapping[tuple[Condition, int], PerQuery]
    gallery: int
    lone: int
