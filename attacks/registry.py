"""The attacks a grid can name."""

from attacks.base import Attack
from attacks.fna import FNA
from attacks.metric_ifgsm import MetricIFGSM
from attacks.sma import SMA
from benchbox.errors import BenchboxError, unknown_name

ATTACKS: dict[str, type[Attack]] = {attack.name: attack for attack in (FNA, SMA, MetricIFGSM)}
"""Attack classes by their names in grids and results files."""


def register_attack(attack: type[Attack]) -> type[Attack]:
    """Add an attack class under its ``name`` and return it, so that it works as a decorator.

    Raises:
        BenchboxError: it is no attack, has no usable name, or the name is taken.
    """
    if not (isinstance(attack, type) and issubclass(attack, Attack)):
        raise BenchboxError(f"register_attack: expected a subclass of Attack, got {attack!r}")
    name, title = getattr(attack, "name", None), getattr(attack, "title", None)
    if not isinstance(name, str) or not name.isidentifier() or name != name.lower():
        raise BenchboxError(
            f"attack {attack.__qualname__}: its name must be a lower-case word, got {name!r}"
        )
    if not isinstance(title, str) or not title:
        raise BenchboxError(f"attack {name!r}: it needs a title for tables")
    if name == "none" or name in ATTACKS:
        raise BenchboxError(f"an attack named {name!r} exists already; choose another name")
    ATTACKS[name] = attack
    return attack


def find_attack(name: str) -> type[Attack]:
    """Return the attack class of that name.

    Raises:
        BenchboxError: there is none; the nearest name is suggested.
    """
    if name not in ATTACKS:
        raise unknown_name("attack", name, ATTACKS)
    return ATTACKS[name]
