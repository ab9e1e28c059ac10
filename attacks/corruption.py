"""Corruption as a grid has it: which corruptions, how severe, and how often it is drawn."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from attacks.corruptions import CORRUPTIONS, SEVERITIES
from attacks.corruptions.drawing import Drawn, source_of_chance
from benchbox.errors import BenchboxError, unknown_name

Side = Literal["query", "gallery", "both"]
"""Which images are corrupted."""

SIDES: tuple[Side, ...] = ("query", "gallery", "both")

_MOST = 1_000


@dataclass(frozen=True, kw_only=True)
class Corruption:
    """Corrupts every image at random and averages over repeats: Market-1501-C's protocol.

    Nobody attacks: there is no gradient and no budget. In each repeat every image draws one of the
    corruptions and one of the severities, all equally likely (Chen, Wang and Zheng 2021, NeurIPS
    datasets track).

    Attributes:
        repeats: how often all is drawn anew; 10, as in the paper.
        corruptions: names of those to draw from; all 20.
        severities: those to draw from; 1 to 5.

    Raises:
        BenchboxError: a value is out of its range, unknown, or stands there twice.
    """

    name: ClassVar[str] = "corruption"
    title: ClassVar[str] = "Corruption"

    repeats: int = 10
    corruptions: tuple[str, ...] = tuple(CORRUPTIONS)
    severities: tuple[int, ...] = SEVERITIES

    def __post_init__(self) -> None:
        if not 1 <= self.repeats <= _MOST:
            raise BenchboxError(f"repeats: expected 1 to {_MOST:,}, got {self.repeats}")
        for name in self.corruptions:
            if name not in CORRUPTIONS:
                raise unknown_name("corruption", name, CORRUPTIONS, where="corruptions")
        for severity in self.severities:
            if severity not in SEVERITIES:
                raise BenchboxError(f"severities: expected numbers from 1 to 5, got {severity}")
        for key, values in (("corruptions", self.corruptions), ("severities", self.severities)):
            if not values or len(set(values)) < len(values):
                raise BenchboxError(f"{key}: expected at least one, and each once")

    def draw(self, *chance: object) -> Drawn:
        """Return what happens to an image; ``chance`` is the seed, the repeat and its name."""
        source = source_of_chance("draw", *chance)
        corruption = self.corruptions[source.integers(len(self.corruptions))]
        return Drawn(corruption, self.severities[source.integers(len(self.severities))])

    @property
    def each(self) -> tuple[Drawn, ...]:
        """Every corruption at every severity, in order."""
        return tuple(Drawn(name, level) for name in self.corruptions for level in self.severities)


def row_name(side: Side) -> str:
    """Return what results files call the rows of a side: ``corruption_query``."""
    return f"{Corruption.name}_{side}"


ROW_TITLES = {
    row_name("query"): "Corrupted queries",
    row_name("gallery"): "Corrupted gallery",
    row_name("both"): "Both corrupted",
}
"""Name in results files → title in tables, in order."""
