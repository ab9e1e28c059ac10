"""Random numbers that are the same on every machine, and trigonometry that is too.

``RandomState``'s streams are frozen by NumPy's compatibility policy. Only its raw uniform numbers
and bytes are used: its other distributions call the platform's ``log`` or may be compiled with
fused multiply-add, and would differ in the last bit between machines.
"""

import hashlib
import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

_Item = TypeVar("_Item")
_GRID = 65536.0


def quantised(value: float) -> float:
    """Return ``value`` on a grid of 2⁻¹⁶, which absorbs the last-bit differences of libm."""
    return round(value * _GRID) / _GRID


def sine(angle: float) -> float:
    """Return sin(angle), radians, quantised."""
    return quantised(math.sin(angle))


def cosine(angle: float) -> float:
    """Return cos(angle), radians, quantised."""
    return quantised(math.cos(angle))


class Dice:
    """A stream of random numbers that depends only on the parts it is named by.

    Args:
        parts: what the stream is for, such as ``(version, domain, size, seed, "person", 12)``.
    """

    def __init__(self, *parts: object) -> None:
        name = "\x1f".join(str(part) for part in parts)
        words = np.frombuffer(hashlib.sha256(name.encode()).digest(), dtype="<u4")
        self._stream = np.random.RandomState(words.astype(np.uint32))

    def unit(self) -> float:
        """Return a number in [0, 1)."""
        return float(self._stream.random_sample())

    def between(self, low: float, high: float) -> float:
        """Return a number in [low, high)."""
        return low + (high - low) * self.unit()

    def below(self, stop: int) -> int:
        """Return an integer in [0, stop)."""
        return int(self.unit() * stop)

    def chance(self, probability: float) -> bool:
        """Return true with the given probability."""
        return self.unit() < probability

    def pick(self, items: Sequence[_Item]) -> _Item:
        """Return one of ``items``, all equally likely."""
        return items[self.below(len(items))]

    def weighted(self, weights: dict[_Item, int]) -> _Item:
        """Return one of the keys, each as likely as its (integer) weight."""
        left = self.below(sum(weights.values()))
        for item, weight in weights.items():
            left -= weight
            if left < 0:
                return item
        raise ValueError("the weights are all zero")

    def bell(self) -> float:
        """Return a nearly normal number: mean 0, deviation 1, within ±3.5 (four uniforms)."""
        return (self.unit() + self.unit() + self.unit() + self.unit() - 2.0) * 1.7320508

    def spread(self, deviation: float) -> float:
        """Return a nearly log-normal factor around 1, ``deviation`` being that of its log."""
        return quantised(math.exp(deviation * self.bell()))

    def shuffled(self, items: Sequence[_Item]) -> list[_Item]:
        """Return ``items`` in random order (Fisher and Yates)."""
        order = list(items)
        for last in range(len(order) - 1, 0, -1):
            other = self.below(last + 1)
            order[last], order[other] = order[other], order[last]
        return order

    def octets(self, *shape: int) -> NDArray[np.uint8]:
        """Return uniform random bytes of the given shape."""
        raw = self._stream.bytes(math.prod(shape))
        return np.frombuffer(raw, dtype=np.uint8).reshape(shape)
