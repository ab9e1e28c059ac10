"""Whether the artefacts of a run's store were made as the run's record and the protocol say."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from attacks import ATTACKS
from benchbox.errors import BenchboxError
from benchbox.leaderboard.board_protocol import Protocol
from benchbox.results.artefacts import MOST_BYTES, Artefacts
from benchbox.results.conditions import Condition
from benchbox.results.measurements import Group
from benchbox.runs.grid import parse_fraction
from benchbox.runs.store import Manifest


@dataclass(frozen=True)
class Stages:
    """The finished stages of a run, each hashed once.

    Attributes:
        artefacts: of the run.
    """

    artefacts: Artefacts
    _known: dict[tuple[str, str], Manifest | None] = field(default_factory=dict, repr=False)

    def manifest(self, cell: str, kind: str) -> Manifest:
        """Return what the store says of a stage of a cell, all of whose files are as listed.

        Raises:
            BenchboxError: run.json names no such stage, or the store has it not, or damaged.
        """
        record = self.artefacts.run.record.cells.get(cell)
        key = record.stages.get(kind) if record else None
        if key is None:
            raise BenchboxError(f"run.json names no {kind} stage for cell {cell}")
        if kind == "rank" and not key.startswith(cell):
            raise BenchboxError(f"run.json gives cell {cell} the rank stage of another")
        if (kind, key) not in self._known:
            self._known[kind, key] = self.artefacts.store.manifest(kind, key, most=MOST_BYTES)
        manifest = self._known[kind, key]
        if manifest is None:
            # Without the cell: a stage serves many, and is one problem.
            raise BenchboxError(f"the store has no undamaged {kind} stage {key[:12]}…")
        return manifest

    def file(self, cell: str, kind: str, name: str) -> Path:
        """Return a file of a stage, after checking its digest.

        Raises:
            BenchboxError: as `manifest`, or the stage lists no such file.
        """
        manifest = self.manifest(cell, kind)
        if name not in manifest.files:
            raise BenchboxError(f"the {kind} stage of cell {cell} has no {name}")
        return self.artefacts.store.folder(kind, manifest.key) / name


def setting_deviations(
    stages: Stages,
    protocol: Protocol,
    group: Group,
    defense: str,
    condition: Condition,
    seed: int,
    cell: str,
) -> list[str]:
    """Return where the stages behind a number were not set as the protocol and the run say.

    The tables of a run are text that anybody can edit; the stages record what they really did.

    Raises:
        BenchboxError: a stage is not there.
    """
    wanted = _wanted(stages, protocol, group, defense, condition, seed)
    found = []
    for kind, settings in wanted.items():
        given = stages.manifest(cell, kind).settings
        for key, value in _flat(settings):
            there = _at(given, key)
            if there != value and not _close(there, value):
                found.append(
                    f"cell {cell}: its {kind} stage has {key.rstrip('.')} = {str(there)[:80]}, "
                    f"expected {str(value)[:80]}"
                )
    return found


def _wanted(
    stages: Stages,
    protocol: Protocol,
    group: Group,
    defense: str,
    condition: Condition,
    seed: int,
) -> dict[str, dict[str, Any]]:
    record = stages.artefacts.run.record
    train, test = (record.datasets[name].digest for name in (group.train, group.test))
    described = record.defenses[defense]
    size = list(protocol.image_size)
    recipe = {key: value for key, value in described["recipe"].items() if key != "name"}
    budget = None
    wanted: dict[str, dict[str, Any]] = {
        "train": {
            "dataset": train,
            "image_size": size,
            "backbone": group.backbone,
            "seed": seed,
            "recipe": {"": recipe},
        },
        "embed": {"dataset": test, "image_size": size, "guard": {"": described["guard"]}},
    }
    if not condition.is_clean:
        eps = dict(zip(protocol.budgets_255, protocol.fractions, strict=True))
        budget = str(eps[condition.eps_255])
        wanted["attack"] = {
            "attack": {
                "steps": protocol.steps,
                "step_size": float(parse_fraction(protocol.step_size)),
                "own": protocol.guides,
                "distance": protocol.distance,
            },
            "seed": seed,
            "precision": protocol.precision,
        }
        if condition.attack in ATTACKS:
            wanted["attack"]["attack"]["class"] = ATTACKS[condition.attack].__qualname__
    wanted["rank"] = {"dataset": test, "ap": protocol.ap, "budget": budget}
    return wanted


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted keys and values; the key ``""`` compares all that lies below."""
    for key, value in settings.items():
        name = f"{prefix}.{key}".lstrip(".")
        if isinstance(value, dict) and key != "":
            yield from _flat(value, name)
        else:
            yield name, value


def _at(settings: Any, key: str) -> Any:
    for part in filter(None, key.split(".")):
        settings = settings.get(part) if isinstance(settings, dict) else None
    return settings


def _close(a: object, b: object) -> bool:
    return isinstance(a, float) and isinstance(b, float) and abs(a - b) < 1e-9
