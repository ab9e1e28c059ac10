"""From what a grid or a board's protocol says of all attacks to one attack, set so."""

from fractions import Fraction
from typing import Literal, Protocol

from attacks import Attack
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


def attack_as_set(attack: type[Attack], settings: AttackSettings) -> Attack:
    """Return an attack with these settings; its budget is chosen where it is made."""
    return attack(
        steps=settings.steps,
        step_size=float(parse_fraction(settings.step_size)),
        own=settings.guides,
        distance=settings.distance,
    )
