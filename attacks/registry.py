"""The attacks a grid can name."""

from collections.abc import Mapping
from types import MappingProxyType

from attacks.ascent_attack import AscentAttack
from attacks.fna import FNA
from attacks.metric_ifgsm import MetricIFGSM
from attacks.sma import SMA
from benchbox.errors import BenchboxError

ATTACKS: Mapping[str, type[AscentAttack]] = MappingProxyType(
    {attack.name: attack for attack in (FNA, SMA, MetricIFGSM)}
)
"""Our attack classes by their names in grids and results files, read-only."""


def register(
    registry: dict[str, type[AscentAttack]], attack: type[AscentAttack]
) -> type[AscentAttack]:
    """Add an attack class to a registry under its ``name``.

    Raises:
        BenchboxError: it has no usable name or title, or the name is taken.
    """
    name, title = getattr(attack, "name", None), getattr(attack, "title", None)
    if not isinstance(name, str) or not name.isidentifier() or name != name.lower():
        raise BenchboxError(
            f"attack {attack.__qualname__}: its name must be a lower-case word, got {name!r}"
        )
    if not isinstance(title, str) or not title:
        raise BenchboxError(f"attack {name!r}: it needs a title for tables")
    if name == "none" or name in registry:
        raise BenchboxError(f"an attack named {name!r} exists already; choose another name")
    registry[name] = attack
    return attack
