"""What a recipe trains on: decoded images with class labels."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from benchbox.data.protocol import ImageRecord


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """Decoded training images.

    Attributes:
        images: (N, 3, H, W) the images, uint8.
        labels: (N,) class index of each image.
        examples: (N, 3, H, W) uint8, an adversarial version of each image made beforehand; it is
            augmented exactly as its image. None where there are none.
    """

    images: Tensor
    labels: Tensor
    examples: Tensor | None = None


def class_labels(records: Sequence[ImageRecord]) -> Tensor:
    """Return (N,) class indices: a class is an index into the sorted training identities."""
    label = {pid: index for index, pid in enumerate(sorted({record.pid for record in records}))}
    return torch.tensor([label[record.pid] for record in records])
