"""The figures of an entry's page: bars of a check, AP by identity; templates draw them as SVG.

Coordinates are SVG's (y grows downwards), rounded, so that the same entries give the same page.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from benchbox.leaderboard.site.axes import Axis

_MOST_BARS = 24


@dataclass(frozen=True)
class Bar:
    """A number of a check.

    Attributes:
        kind: the protocol's own attack, a level to compare with, or what the check found.
        label: its name in words.
        length: 0–100.
        value: the number as text.
    """

    kind: Literal["own", "level", "found"]
    label: str
    length: float
    value: str


@dataclass(frozen=True)
class IdentityPlot:
    """AP of every identity, the clean ones in falling order.

    Attributes:
        x: the axis of identities.
        y: the axis of AP, in percent.
        clean: the SVG path of a line through the identities' clean AP.
        attacked: the SVG path of dots, one an identity, at its AP under the attack.
        attack: what the attack is called.
    """

    x: Axis
    y: Axis
    clean: str
    attacked: str
    attack: str


def bars(numbers: Mapping[str, float], words: Mapping[str, str]) -> tuple[Bar, ...]:
    """Return the numbers of a check as bars, the longest 100 units.

    Where some are mAP (or its chance level) only these are drawn: numbers of another kind do not
    belong on their axis.

    Args:
        numbers: key → number; of a stranger's entry, thus any finite ones.
        words: key → what the number is called.
    """
    drawn = {key: value for key, value in numbers.items() if _is_map(key)} or dict(numbers)
    most = max((abs(value) for value in drawn.values()), default=0.0) or 1.0
    return tuple(
        Bar(_kind(key), words.get(key, key), round(100 * max(value / most, 0.0), 2), f"{value:.4g}")
        for key, value in list(drawn.items())[:_MOST_BARS]
    )


def identity_plot(clean: Sequence[float], attacked: Sequence[float], attack: str) -> IdentityPlot:
    """Return the plot of AP by identity.

    Args:
        clean: (I,) AP without an attack, in 0–1.
        attacked: (I,) AP of the same identities under the attack, in 0–1.
        attack: what the attack is called.
    """
    order = sorted(range(len(clean)), key=lambda index: (-clean[index], -attacked[index], index))
    most = len(order)
    x = Axis(1, max(most, 2), 52, 620, max(max(most, 2) - 1, 1))
    y = Axis(0, 100, 220, 16, 25)
    first = [(x.at(place), y.at(100 * clean[i])) for place, i in enumerate(order, start=1)]
    second = [(x.at(place), y.at(100 * attacked[i])) for place, i in enumerate(order, start=1)]
    line = "M" + " L".join(f"{a:g} {b:g}" for a, b in first)
    return IdentityPlot(x, y, line, "".join(f"M{a:g} {b:g}h0" for a, b in second), attack)


def has_map(numbers: Mapping[str, float]) -> bool:
    """Whether a check measured mAP, which its bars then show."""
    return any(map(_is_map, numbers))


def _is_map(key: str) -> bool:
    return key == "map" or key.startswith("map_") or key in ("chance", "allowed")


def _kind(key: str) -> Literal["own", "level", "found"]:
    if key == "map":
        return "own"
    return "level" if key in ("chance", "allowed", "queries") else "found"
