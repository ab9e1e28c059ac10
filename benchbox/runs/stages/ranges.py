"""A stage in ranges: a part of its work, and what joins the parts under the key of the whole."""

from abc import ABC
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from typing_extensions import override

from benchbox.runs.cost import Cost
from benchbox.runs.stages.base import Stage


@dataclass(frozen=True)
class Shard(Stage, ABC):
    """Do a range of another stage's work.

    Attributes:
        whole: the stage in one piece.
        start: place of the first image.
        stop: place behind the last.
    """

    kind: ClassVar[str] = "shard"

    whole: Stage
    start: int
    stop: int

    @property
    @override
    def needs(self) -> tuple[Stage, ...]:
        return self.whole.needs

    @property
    @override
    def part_of(self) -> Stage:
        return self.whole

    @override
    def settings(self) -> dict[str, Any]:
        # The whole's key: what makes the stage stale makes its ranges stale.
        return {"whole": self.whole.key, "images": [self.start, self.stop]}

    @override
    def extra_code(self) -> set[str]:
        return self.whole.extra_code()


@dataclass(frozen=True)
class Join(Stage, ABC):
    """Join ranges to the artefact that the whole would have left, under its key.

    Attributes:
        whole: the stage in one piece.
        shards: its ranges, in the images' order.
    """

    whole: Stage
    shards: tuple[Stage, ...]

    @property
    @override
    def title(self) -> str:
        return self.whole.title

    @property
    @override
    def needs(self) -> tuple[Stage, ...]:
        return (*self.whole.needs, *self.shards)

    @property
    @override
    def pieces(self) -> tuple[Stage, ...]:
        return self.shards

    @property
    @override
    def cost(self) -> Cost:
        return Cost()

    @override
    def settings(self) -> dict[str, Any]:
        return self.whole.settings()

    @property
    @override
    def sources(self) -> set[str]:
        return self.whole.sources

    @cached_property
    @override
    def code_version(self) -> str:
        return self.whole.code_version

    @cached_property
    @override
    def key(self) -> str:
        return self.whole.key
