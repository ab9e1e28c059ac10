"""What images go through before they are embedded: nothing, an attack, or a corruption."""

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

from attacks.corruption import ROW_TITLES
from benchbox.runs.reach import is_beyond_reach

CLEAN_ATTACK = "none"
"""The name that stands in results.csv for an unattacked query."""

CORRUPTED = tuple(ROW_TITLES)
"""The names that stand there where images are corrupted by chance, whom nobody attacks."""


@dataclass(frozen=True, slots=True)
class Condition:
    """Clean, or an attack with its budget: a column of the tables.

    Attributes:
        attack: the registry's name, ``none`` for clean, or what is corrupted (`CORRUPTED`).
        eps_255: L∞ budget in units of 1/255; 0 for clean and for corruptions, which have none.
        steps: ascent steps; 0 for clean, and for an attack without a fixed number of them.
        step_size_255: step size in units of 1/255; 0 for clean, and for an attack that chooses.
    """

    attack: str
    eps_255: float = 0.0
    steps: int = 0
    step_size_255: float = 0.0

    @property
    def is_clean(self) -> bool:
        """Whether the query is left as it is."""
        return self.attack == CLEAN_ATTACK

    @property
    def budget(self) -> str:
        """The budget and steps, if it has any, as the paper heads its columns: ``8/255-16``."""
        if not self.eps_255:
            return ""
        budget = fraction_of_255(self.eps_255)
        return f"{budget}-{self.steps}" if self.steps else budget

    @property
    def is_beyond_reach(self) -> bool:
        """Whether the budget is larger than what the attack's steps come to."""
        return is_beyond_reach(self.eps_255, self.steps, self.step_size_255)


CLEAN = Condition(CLEAN_ATTACK)


def fraction_of_255(value_255: float) -> str:
    """Return ``8.0`` as ``"8/255"``, with at most three decimals: ``0.5`` as ``"0.5/255"``."""
    rounded = Decimal(repr(value_255)).quantize(Decimal("0.001"), rounding=ROUND_HALF_EVEN)
    return f"{rounded.normalize():f}/255"
