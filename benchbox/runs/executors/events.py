"""What every executor does, and what it says while it does it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from benchbox.runs.stages import Stage


@dataclass(frozen=True)
class Started:
    """A stage is being done."""

    stage: Stage


@dataclass(frozen=True)
class Moved:
    """A stage has come ``share`` of its way."""

    stage: Stage
    share: float
    text: str


@dataclass(frozen=True)
class Noticed:
    """A stage goes on, but a person should read this."""

    stage: Stage
    text: str


@dataclass(frozen=True)
class Done:
    """A stage is finished and in the store."""

    stage: Stage
    seconds: float


@dataclass(frozen=True)
class Failed:
    """A stage could not be done."""

    stage: Stage
    error: str


@dataclass(frozen=True)
class LeftOut:
    """A stage was not tried, since one it needs failed."""

    stage: Stage


Event = Started | Moved | Noticed | Done | Failed | LeftOut


class Executor(Protocol):
    """Does stages somewhere. A cluster engine implements this one method."""

    def execute(self, stages: Sequence[Stage], notify: Callable[[Event], None]) -> None:
        """Do all stages, each after those it needs that are among ``stages``.

        Needs that are not among ``stages`` are in the store already. A failed stage takes down
        only what needs it. Raises only when nothing more can be done at all.
        """
        ...
