"""The attacks of a grid as tables have them: each as it is and, if asked for, through a JPEG."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from attacks import AnyAttack
from benchbox.errors import BenchboxError
from benchbox.evaluation.real_images import Through
from benchbox.runs.grid import Grid


@dataclass(frozen=True)
class AttackColumn:
    """An attack, and what stands between its images and the model.

    Attributes:
        attack: with its parameters.
        through: what stands there while it is made and when it is ranked.
        quality: of a JPEG.
    """

    attack: AnyAttack[Any]
    through: Through
    quality: int

    @property
    def name(self) -> str:
        """The name in records and results files: ``fna``, or ``fna_jpeg``."""
        return self.attack.name if self.through == "nothing" else f"{self.attack.name}_jpeg"

    @property
    def title(self) -> str:
        """The name in tables."""
        return " through ".join(filter(None, (self.attack.title, self.passes)))

    @property
    def passes(self) -> str | None:
        """What its images pass, in words; None where it is nothing."""
        return None if self.through == "nothing" else f"JPEG {self.quality}"


def attack_columns(grid: Grid, attacks: Iterable[AnyAttack[Any]]) -> tuple[AttackColumn, ...]:
    """Return the columns of a grid's attacks, in their order.

    Raises:
        BenchboxError: two of them would have one name.
    """
    ways: tuple[Through, ...] = ("nothing",) if grid.through == "nothing" else ("nothing", "jpeg")
    columns = [AttackColumn(each, way, grid.jpeg_quality) for each in attacks for way in ways]
    names = [column.name for column in columns]
    for name in names:
        if names.count(name) > 1:
            raise BenchboxError(
                f"through: an attack is named {name!r} already, which is what "
                f"{name.removesuffix('_jpeg')} through a JPEG is called; leave one of them out."
            )
    return tuple(columns)
