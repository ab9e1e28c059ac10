"""A defense is a training recipe and an input guard: how weights are made, what input meets."""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from benchbox.errors import BenchboxError
from benchbox.training.recipe import Recipe


class Guard(Protocol):
    """What a defense does to an image before it is embedded, query and gallery alike.

    A guard is a frozen dataclass: its fields are its parameters and go into the provenance of
    every number. It is attacked through: where it has no useful gradient, its backward pass is
    the identity (BPDA, Athalye et al. 2018), else the measured robustness would be a sham.
    """

    def __call__(self, images: Tensor) -> Tensor:
        """Return guarded images, (B, 3, H, W) in [0, 1], differentiable in ``images``."""
        ...


@dataclass(frozen=True, kw_only=True)
class Defense:
    """One row of the table.

    Attributes:
        name: the name in the registry, in grids and in results.csv.
        title: the name that tables print.
        recipe: how the weights are made.
        guard: what is done to every image before it is embedded; None for nothing.
        source: the paper the defense is from.
    """

    name: str
    title: str
    recipe: Recipe
    guard: Guard | None = None
    source: str


def register(registry: dict[str, Defense], defense: Defense) -> Defense:
    """Add a defense to a registry.

    Raises:
        BenchboxError: the name is taken.
    """
    if defense.name in registry:
        raise BenchboxError(
            f"a defense named {defense.name!r} exists already; choose another name."
        )
    registry[defense.name] = defense
    return defense
