"""The interface of a training recipe: hyperparameters, a starting point, and losses on a batch."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

import torch
from torch import Tensor

from benchbox.errors import BenchboxError
from benchbox.models.reid import Features, ReidModel
from benchbox.training.augmentation import Augmentation
from benchbox.training.losses import identity_loss, triplet_loss
from benchbox.training.preparation import Preparation
from benchbox.training.training_set import TrainingSet


@dataclass(frozen=True, kw_only=True)
class Training:
    """How long, how fast and on what batches a recipe trains.

    The defaults are those of the field's strong baseline (Luo et al. 2019, "Bag of Tricks and a
    Strong Baseline for Deep Person Re-identification"), which fast-reid took over.

    Attributes:
        epochs: passes over the training identities.
        batch_identities: P, identities per batch.
        batch_images: K, images per identity in a batch.
        optimizer: ``adam`` (weight decay as an L2 term) or ``adamw`` (decoupled).
        lr: peak learning rate.
        weight_decay: how strongly all weights are pulled to zero.
        schedule: ``step`` (linear warm-up, then × gamma at each milestone) or ``one_cycle``
            (Smith and Topin 2019), which reaches a usable model in few epochs.
        warmup_epochs: how long the step schedule rises from a tenth of ``lr`` to ``lr``.
        milestones: epochs at which the step schedule multiplies the rate by ``gamma``.
        gamma: the factor that each milestone multiplies the rate by.
        clip_norm: largest gradient norm; 0 means no clipping.
        ema: decay of a moving average of the weights, such as 0.995, which the training then ends
            with; 0 means none. The log's numbers are of the weights that are averaged.
        label_smoothing: the share of the identity loss's label that goes to all classes alike.
        triplet_margin: by how much farther the triplet loss wants negatives than positives.
        precision: number format of the forward and backward passes; ``bf16`` and ``fp16`` mean
            autocast.
        augmentation: what is done to a training image.

    Raises:
        BenchboxError: a value is out of its range.
    """

    epochs: int = 120
    batch_identities: int = 16
    batch_images: int = 4
    optimizer: Literal["adam", "adamw"] = "adam"
    lr: float = 3.5e-4
    weight_decay: float = 5e-4
    schedule: Literal["step", "one_cycle"] = "step"
    warmup_epochs: int = 10
    milestones: tuple[int, ...] = (40, 70)
    gamma: float = 0.1
    clip_norm: float = 0.0
    ema: float = 0.0
    label_smoothing: float = 0.1
    triplet_margin: float = 0.3
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        if not 0 <= self.ema < 1:
            raise BenchboxError(f"ema: expected 0 or a decay below 1, got {self.ema!r}")


class Companion(Protocol):
    """What a recipe trains or remembers beside the model, such as a discriminator.

    It lies in every checkpoint and is dropped when training ends.
    """

    def state_dict(self) -> dict[str, Any]:
        """Return all that a resumed training needs: tensors, numbers, and dicts of them."""
        ...

    def load_state_dict(self, state: dict[str, Any], /) -> Any:
        """Take up a saved state."""
        ...


@dataclass(frozen=True, slots=True)
class Batch:
    """One training batch.

    Attributes:
        images: (B, 3, H, W) float32 in [0, 1], augmented.
        labels: (B,) class indices.
        generator: the step's randomness, on the CPU, seeded from (seed, epoch, step).
        rows: (B,) places of the images in the training set.
        done: the share of the training that is done, in [0, 1).
        examples: (B, 3, H, W) adversarial versions made beforehand, augmented as the images;
            None where the training set has none.
        companion: what `Recipe.companion` returned.
    """

    images: Tensor
    labels: Tensor
    generator: torch.Generator
    rows: Tensor | None = None
    done: float = 0.0
    examples: Tensor | None = None
    companion: Any = None


@dataclass(frozen=True, kw_only=True)
class Recipe(ABC):
    """How weights are made. A subclass holds its hyperparameters and states its losses.

    Attributes:
        name: the name in the registry, in grids and in provenance.
        start: the weights training begins with: ``backbone`` (ImageNet's or random, as the grid
            says) or ``vanilla`` (the vanilla recipe's weights of the same seed).
        training: how long, how fast and on what batches it trains.
    """

    name: ClassVar[str]

    start: Literal["backbone", "vanilla"] = "backbone"
    training: Training = field(default_factory=Training)

    @property
    def title(self) -> str:
        """The name in progress bars and manifests; says more where rows share a recipe."""
        return self.name

    @property
    def preparation(self) -> Preparation | None:
        """What is made from the training set once, before training; None for nothing."""
        return None

    @property
    def step_cost(self) -> float:
        """Roughly how long a step takes, in vanilla training steps, for ETA and order."""
        return 1.0

    def companion(
        self,
        model: ReidModel,  # noqa: ARG002
        data: TrainingSet,  # noqa: ARG002
        *,
        seed: int,  # noqa: ARG002
        device: torch.device,  # noqa: ARG002
    ) -> Companion | None:
        """Return what is trained or remembered beside the model; None for nothing."""
        return None

    def attacked(self, model: ReidModel, batch: Batch) -> Tensor | None:  # noqa: ARG002
        """Return the batch as this recipe attacks it, (B, 3, H, W), or None if it does not.

        The model keeps its mode and statistics.
        """
        return None

    def metrics(self, batch: Batch) -> dict[str, float]:  # noqa: ARG002
        """Return what else the log should say after an epoch, such as of the companion."""
        return {}

    def step(self, model: ReidModel, batch: Batch) -> dict[str, Tensor]:
        """Return what the loop minimises: `losses`, or what an option of the recipe makes of them.

        The model is in training mode, and its weights are the same afterwards.
        """
        return self.losses(model, batch)

    @abstractmethod
    def losses(self, model: ReidModel, batch: Batch) -> dict[str, Tensor]:
        """Return the named scalar losses whose sum this step minimises.

        The model is in training mode; an attack inside must leave it so.
        """

    def identity_and_triplet(
        self, model: ReidModel, images: Tensor, labels: Tensor
    ) -> dict[str, Tensor]:
        """Return the field's standard pair on ``images``: smoothed cross-entropy and triplet.

        The identity loss reads the logits behind the neck, the triplet loss the feature before it.
        """
        return self.pair(model.features(images), labels)

    def pair(self, features: Features, labels: Tensor) -> dict[str, Tensor]:
        """Return L_cls and L_tri of features that are there already."""
        training = self.training
        return {
            "identity": identity_loss(features.logits, labels, smoothing=training.label_smoothing),
            "triplet": triplet_loss(features.pooled, labels, margin=training.triplet_margin),
        }
