"""A run's model as it is used: with the size, the filter and the ids its images come with."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchbox.data.images import Interpolation, load_images
from benchbox.data.protocol import ImageRecord
from benchbox.models.given import Given
from benchbox.models.given_model import ids_for


@dataclass(frozen=True)
class Network:
    """A model, and what its images have to be.

    Attributes:
        model: images (B, 3, H, W) in [0, 1], and ids where it takes them, to embeddings (B, D).
        image_size: (height, width) in pixels.
        interpolation: the filter images are resized by.
        given: how a given model is used; None for one that benchbox trained.
    """

    model: nn.Module
    image_size: tuple[int, int]
    interpolation: Interpolation = "bilinear"
    given: Given | None = None

    def images(self, records: Sequence[ImageRecord]) -> Tensor:
        """Return images as the model takes them, (N, 3, H, W) uint8."""
        return load_images(records, size=self.image_size, interpolation=self.interpolation)

    def ids(self, records: Sequence[ImageRecord], device: torch.device) -> tuple[Tensor, ...]:
        """Return what the model takes beside these images, (N,) each; most take nothing."""
        return ids_for(self.given, records, device)
