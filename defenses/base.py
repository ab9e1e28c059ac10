"""A defense is a model and an input guard: where weights come from, what input meets."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from benchbox.errors import BenchboxError
from benchbox.models.given import Given
from benchbox.training.preparation import Preparation
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


@runtime_checkable
class PreparedGuard(Guard, Protocol):
    """A guard that stands on what a preparation made of the training set, such as a network."""

    @property
    def preparation(self) -> Preparation:
        """What is made, once a training set."""
        ...

    def ready(self, folder: Path, *, size: tuple[int, int], device: torch.device) -> Guard:
        """Return the guard as it is called.

        Args:
            folder: of the preparation's artefact.
            size: (height, width) of the images it will meet.
            device: the device to work on.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Defense:
    """One row of the table: a guard over a model that is made by a recipe, or given.

    Attributes:
        name: its name in the registry, in grids and in results.csv.
        title: its name as tables print it.
        recipe: how the weights are made; None where the model is given.
        model: a model that exists already; None where a recipe makes it.
        guard: applied to every image before it is embedded; None for none.
        source: the paper.

    Raises:
        BenchboxError: it has both a recipe and a given model, or neither.
    """

    name: str
    title: str
    recipe: Recipe | None = None
    model: Given | None = None
    guard: Guard | None = None
    source: str

    def __post_init__(self) -> None:
        if (self.recipe is None) == (self.model is None):
            raise BenchboxError(
                f"defense {self.name!r}: give a recipe (benchbox trains the model) or a model "
                "(Given: it exists already), one of the two."
            )


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
