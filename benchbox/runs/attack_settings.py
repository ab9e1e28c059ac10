"""From what a grid or a board's protocol says of all attacks to one attack, set so."""

from fractions import Fraction
from typing import Any, Literal, NamedTuple, Protocol

from attacks import AnyAttack, make_attack
from benchbox.runs.grid import parse_fraction


class AttackSettings(Protocol):
    """What is said once for all attacks: of a grid, or of a board's protocol."""

    @property
    def steps(self) -> int:
        """How many steps an attack takes."""
        ...

    @property
    def step_size(self) -> Fraction | str:
        """How far a step goes, as a share of the pixel range or written as ``1/255``."""
        ...

    @property
    def guides(self) -> Literal["reference", "exclude"]:
        """Whether a query's own embedding is among those that guide its attack."""
        ...

    @property
    def distance(self) -> Literal["squared", "euclidean"]:
        """The distance between embeddings that an attack ascends or descends."""
        ...


class Pace(NamedTuple):
    """How an attack moves, as tables have it.

    Attributes:
        steps: how many steps it takes; 0 where it has no fixed number of them.
        step_size_255: of one, in units of 1/255; 0 where it chooses its own.
    """

    steps: int
    step_size_255: float


def attack_as_set(attack: type[AnyAttack[Any]], settings: AttackSettings) -> AnyAttack[Any]:
    """Return an attack with those settings that it has; its budget is chosen where it is made."""
    return make_attack(
        attack,
        {
            "steps": settings.steps,
            "step_size": float(parse_fraction(settings.step_size)),
            "own": settings.guides,
            "distance": settings.distance,
        },
    )


def pace_of(attack: AnyAttack[Any]) -> Pace:
    """Return an attack's pace."""
    step_size = float(getattr(attack, "step_size", 0.0))
    return Pace(int(getattr(attack, "steps", 0)), round(step_size * 255, 9))
