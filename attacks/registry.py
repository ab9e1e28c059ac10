"""The attacks a grid can name."""

from collections.abc import Mapping
from inspect import signature
from types import MappingProxyType
from typing import Any, get_args

from attacks.ascent_attack import AscentAttack
from attacks.base import AnyAttack, ThreatModel
from attacks.fna import FNA
from attacks.gallery import Hiding, Promoting
from attacks.metric_ifgsm import MetricIFGSM
from attacks.sma import SMA
from attacks.smooth_ap import SmoothAP
from attacks.square import Square
from attacks.targeted import Impersonation
from attacks.transfer import DIFNA, MIFNA
from attacks.universal import Universal
from attacks.worst_case import WorstCase
from benchbox.errors import BenchboxError

ATTACKS: Mapping[str, type[AscentAttack]] = MappingProxyType(
    {attack.name: attack for attack in (FNA, SMA, MetricIFGSM)}
)
"""The literature's attacks by their names in grids and results files, read-only."""

FURTHER_ATTACKS: Mapping[str, type[AnyAttack[Any]]] = MappingProxyType(
    {
        attack.name: attack
        for attack in (
            SmoothAP,
            MIFNA,
            DIFNA,
            WorstCase,
            Universal,
            Impersonation,
            Hiding,
            Promoting,
            Square,
        )
    }
)
"""The others, likewise: stronger ones, those made to transfer, and those of other threat models."""

ALL_ATTACKS: Mapping[str, type[AnyAttack[Any]]] = MappingProxyType({**ATTACKS, **FURTHER_ATTACKS})
"""Every attack of benchbox."""


def make_attack(kind: type[AnyAttack[Any]], settings: Mapping[str, Any]) -> AnyAttack[Any]:
    """Return an attack with those of a grid's settings that it has.

    Args:
        kind: the attack's class.
        settings: by the names of fields: ``eps``, ``steps``, ``step_size``, ``own``,
            ``distance``, ``tier``; those that the attack does not have are left out.

    Raises:
        BenchboxError: a value is out of its range.
    """
    own = signature(kind).parameters
    return kind(**{name: value for name, value in settings.items() if name in own})


def register(
    registry: dict[str, type[AnyAttack[Any]]], attack: type[AnyAttack[Any]]
) -> type[AnyAttack[Any]]:
    """Add an attack class to a registry under its ``name``.

    Raises:
        BenchboxError: it has no usable name, title or threat model, or the name is taken.
    """
    name, title = getattr(attack, "name", None), getattr(attack, "title", None)
    if not isinstance(name, str) or not name.isidentifier() or name != name.lower():
        raise BenchboxError(
            f"attack {attack.__qualname__}: its name must be a lower-case word, got {name!r}"
        )
    if not isinstance(title, str) or not title:
        raise BenchboxError(f"attack {name!r}: it needs a title for tables")
    if getattr(attack, "threat", None) not in get_args(ThreatModel):
        raise BenchboxError(
            f"attack {name!r}: threat: expected one of {', '.join(get_args(ThreatModel))}"
        )
    if name == "none" or name in registry:
        raise BenchboxError(f"an attack named {name!r} exists already; choose another name")
    registry[name] = attack
    return attack
