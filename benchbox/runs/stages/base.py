"""What a stage is: one piece of work, named by all that determines its artefact."""

import json
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, is_dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from benchbox.files.digests import digest_of
from benchbox.runs.code import code_digest
from benchbox.runs.cost import Cost
from benchbox.runs.workplace import Workplace


def of_255(budget: Fraction) -> str:
    """Return a budget as people write it, in 255ths of the pixel range: ``8/255``."""
    return f"{float(budget * 255):g}/255"


def parameters(value: Any) -> dict[str, Any]:
    """Return a dataclass as JSON with its class's name: what of it goes into a key."""
    return {"class": type(value).__qualname__, **json.loads(json.dumps(asdict(value), default=str))}


def defining_modules(value: object) -> set[str]:
    """Return the modules that define the class of a dataclass, its bases and its fields.

    A defense that is a folder below ``defenses`` counts with the whole folder.
    """
    modules = {c.__module__ for c in type(value).__mro__}
    found = {name for name in modules if name.partition(".")[0] not in sys.stdlib_module_names}
    for part in fields(value) if is_dataclass(value) else ():
        if is_dataclass(inner := getattr(value, part.name)):
            found |= defining_modules(inner)
    return {
        ".".join(name.split(".")[:2]) if name.startswith("defenses.") else name for name in found
    }


@dataclass(frozen=True)
class Stage(ABC):
    """One piece of work with one artefact in the store."""

    kind: ClassVar[str]
    code: ClassVar[tuple[str, ...]]
    """What the work calls, as modules and packages; their change makes the artefact stale."""
    on_device: ClassVar[bool] = True
    """Whether the work uses the run's device; what does not needs no GPU set aside for it."""

    @property
    @abstractmethod
    def title(self) -> str:
        """What is done, in words, for progress and manifests."""

    @property
    @abstractmethod
    def needs(self) -> tuple["Stage", ...]:
        """The stages whose artefacts this one reads."""

    @property
    @abstractmethod
    def cost(self) -> Cost:
        """How much is computed, for estimates, ETA and order."""

    @property
    def pieces(self) -> tuple["Stage", ...]:
        """Pieces of this one's work, done apart, that nobody needs when this one is finished."""
        return ()

    @property
    def part_of(self) -> "Stage | None":
        """The stage of whose work this is a piece: once that is finished, this need not be done."""
        return None

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Return what determines the artefact besides code and inputs, as JSON."""

    @abstractmethod
    def work(self, place: Workplace, folder: Path) -> None:
        """Do the work and write the artefact's files into ``folder``."""

    def extra_code(self) -> set[str]:
        """Return further modules, of the recipe, guard or attack this stage runs."""
        return set()

    @property
    def sources(self) -> set[str]:
        """Modules and packages whose change makes the artefact stale, the stage's own included."""
        own = {type(self).__module__, "benchbox.runs.stages.data", "benchbox.runs.workplace"}
        return {*self.code, *self.extra_code(), *own}

    @cached_property
    def code_version(self) -> str:
        """The digest of the code when the stage was planned."""
        return code_digest(self.sources)

    @cached_property
    def key(self) -> str:
        """The digest that names the artefact."""
        return digest_of(
            {
                "kind": self.kind,
                "code": self.code_version,
                "settings": self.settings(),
                "needs": [stage.key for stage in self.needs],
            }
        )


def with_needs(stages: Iterable[Stage]) -> tuple[Stage, ...]:
    """Return the stages and all they need, each once, each behind those it needs."""
    ordered: dict[str, Stage] = {}

    def visit(stage: Stage) -> None:
        if stage.key not in ordered:
            for need in stage.needs:
                visit(need)
            ordered[stage.key] = stage

    for stage in stages:
        visit(stage)
    return tuple(ordered.values())
