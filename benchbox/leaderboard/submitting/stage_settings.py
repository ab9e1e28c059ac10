"""Whether the artefacts of a run's store were made as the run's record and the protocol say."""

from collections.abc import Iterator, Mapping
from typing import Any

from attacks import AnyAttack
from benchbox.errors import BenchboxError
from benchbox.leaderboard.board_protocol import Protocol
from benchbox.results.artefacts import Artefacts
from benchbox.results.conditions import Condition
from benchbox.results.measurements import Group
from benchbox.runs.attack_settings import attack_as_set
from benchbox.runs.override import override
from benchbox.runs.stages import parameters


def setting_deviations(
    stages: Artefacts,
    protocol: Protocol,
    attacks: Mapping[str, type[AnyAttack[Any]]],
    group: Group,
    defense: str,
    condition: Condition,
    seed: int,
    cell: str,
) -> list[str]:
    """Return where the stages behind a number were not set as the protocol and the run say.

    The tables of a run are text that anybody can edit; the stages record what they really did.

    Args:
        stages: the run's.
        protocol: the board's.
        attacks: the registry's, by name.
        group: of the cell, likewise the next three.
        defense: its name.
        condition: clean, or an attack at a budget.
        seed: of the training.
        cell: whose stages are asked.

    Raises:
        BenchboxError: a stage is not there, or the attack is in no registry.
    """
    wanted = _wanted(stages, protocol, attacks, group, defense, condition, seed)
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
    stages: Artefacts,
    protocol: Protocol,
    attacks: Mapping[str, type[AnyAttack[Any]]],
    group: Group,
    defense: str,
    condition: Condition,
    seed: int,
) -> dict[str, dict[str, Any]]:
    record = stages.run.record
    train, test = (record.datasets[name].digest for name in (group.train, group.test))
    described = record.defenses[defense]
    given = described.get("given")
    size = given["image_size"] if given else record.grid.get("image_size")
    budget = None
    wanted: dict[str, dict[str, Any]] = {
        "embed": {"dataset": test, "image_size": size, "guard": {"": described["guard"]}},
    }
    if given:
        wanted["given"] = {key: {"": value} for key, value in given.items()}
    else:
        recipe = {key: value for key, value in described["recipe"].items() if key != "name"}
        wanted["train"] = {
            "dataset": train,
            "image_size": size,
            "backbone": group.backbone,
            "seed": seed,
            "recipe": {"": recipe},
        }
    if not condition.is_clean:
        eps = dict(zip(protocol.budgets_255, protocol.fractions, strict=True))
        budget = str(eps[condition.eps_255])
        wanted["attack"] = {
            **_attack(protocol, attacks, condition.attack),
            "seed": seed,
            "precision": protocol.precision,
            # Written where they are set alone: a board's images are seen as they are found.
            "eight_bit": None,
            "through": None,
        }
    wanted["rank"] = {"dataset": test, "ap": protocol.ap, "budget": budget}
    return wanted


def _attack(
    protocol: Protocol, attacks: Mapping[str, type[AnyAttack[Any]]], name: str
) -> dict[str, Any]:
    """Return what an attack's stage has to say of the attack.

    Raises:
        BenchboxError: it is in no registry.
    """
    if name not in attacks:
        raise BenchboxError(
            f"attack {name}: is none of benchbox's; name the file that defines it with --plugin."
        )
    attack = override(
        attack_as_set(attacks[name], protocol),
        protocol.parameters_of(name),
        where=f"board {protocol.board}: [attack.{name}]",
    )
    settings = parameters(attack)
    settings.pop("eps", None)
    return {"attack": settings, **({} if attack.threat == "query" else {"ap": protocol.ap})}


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
