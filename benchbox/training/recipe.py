"""The interface of a training recipe: hyperparameters, a starting point, and losses on a batch."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor

from benchbox.models.reid import ReidModel
from benchbox.training.augmentation import Augmentation
from benchbox.training.losses import identity_loss, triplet_loss


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
        weight_decay: of all weights.
        schedule: ``step`` (linear warm-up, then × gamma at each milestone) or ``one_cycle``
            (Smith and Topin 2019), which reaches a usable model in few epochs.
        warmup_epochs: of the step schedule; starts at a tenth of ``lr``.
        milestones: epochs at which the step schedule multiplies the rate by ``gamma``.
        gamma: see ``milestones``.
        clip_norm: largest gradient norm; 0 means no clipping.
        label_smoothing: of the identity loss.
        triplet_margin: of the triplet loss.
        precision: of the forward and backward passes; ``bf16`` and ``fp16`` mean autocast.
        augmentation: what is done to a training image.
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
    label_smoothing: float = 0.1
    triplet_margin: float = 0.3
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    augmentation: Augmentation = field(default_factory=Augmentation)


@dataclass(frozen=True, slots=True)
class Batch:
    """One training batch.

    Attributes:
        images: (B, 3, H, W) float32 in [0, 1], augmented.
        labels: (B,) class indices.
        generator: the step's randomness, on the CPU, seeded from (seed, epoch, step).
    """

    images: Tensor
    labels: Tensor
    generator: torch.Generator


@dataclass(frozen=True, kw_only=True)
class Recipe(ABC):
    """How weights are made. A subclass holds its hyperparameters and states its losses.

    Attributes:
        name: in the registry, in grids and in provenance.
        start: the weights training begins with: ``backbone`` (ImageNet's or random, as the grid
            says) or ``vanilla`` (the vanilla recipe's weights of the same seed).
        training: schedule and batches.
    """

    name: ClassVar[str]

    start: Literal["backbone", "vanilla"] = "backbone"
    training: Training = field(default_factory=Training)

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
        features = model.features(images)
        return {
            "identity": identity_loss(
                features.logits, labels, smoothing=self.training.label_smoothing
            ),
            "triplet": triplet_loss(features.pooled, labels, margin=self.training.triplet_margin),
        }
