"""What a recipe makes from the training set once, before it trains: an artefact of its own."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch

from benchbox.data.protocol import ImageRecord
from benchbox.files.progress import Progress
from benchbox.models.reid import ReidModel
from benchbox.training.training_set import TrainingSet


@dataclass(frozen=True)
class Ingredients:
    """What a preparation is made from.

    Attributes:
        records: the training images' files, pids and cameras.
        data: the same images decoded at the network's size, in the same order.
        vanilla: the vanilla model of the same seed, on ``device``; None unless asked for.
        device: the device to work on.
        batch_size: how many images to work on at a time.
        scratch: a folder for checkpoints that a killed run finds again.
        progress: called now and then with the share done and what is being done.
    """

    records: Sequence[ImageRecord]
    data: TrainingSet
    vanilla: ReidModel | None
    device: torch.device
    batch_size: int
    scratch: Path
    progress: Progress


class Preparation(ABC):
    """Makes an artefact from the training set, and a training set with the artefact.

    A subclass is a frozen dataclass whose fields, seeds included, are all that determines the
    artefact beside the training set (and the vanilla model, where it is asked for).
    """

    title: ClassVar[str]
    """What is made, in words: progress bars and manifests print it."""
    needs_vanilla: ClassVar[bool] = False

    @property
    @abstractmethod
    def cost(self) -> float:
        """Roughly how long it takes, in vanilla training epochs, for ETA and order."""

    def require(self) -> None:  # noqa: B027 - most need nothing
        """Check that this machine can make it; called before anything runs.

        Raises:
            BenchboxError: a library is missing, with how to get it.
        """

    @abstractmethod
    def make(self, given: Ingredients, folder: Path) -> None:
        """Write the artefact's files into the empty ``folder``.

        Killed and called again with the same scratch folder, it goes on and ends with the same
        files.
        """

    @abstractmethod
    def training_set(
        self, records: Sequence[ImageRecord], data: TrainingSet, folder: Path
    ) -> TrainingSet:
        """Return what the recipe trains on: ``data`` together with the artefact in ``folder``."""
