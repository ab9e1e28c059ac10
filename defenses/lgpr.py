"""LGPR: patches of training images lose their colour, with and without adversarial training."""

from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from benchbox.errors import BenchboxError
from benchbox.models.reid import ReidModel
from benchbox.training.recipe import Batch
from defenses.adv_train import AdvTrain
from defenses.base import Defense
from defenses.origin import Vanilla

_LUMA = (0.299, 0.587, 0.114)
"""Rec. 601, which Pillow's greyscale is."""
_ATTEMPTS = 100


@dataclass(frozen=True, kw_only=True)
class GreyPatch:
    """One rectangle an image, at a random place, is turned to grey.

    Source: Gong et al. 2021, "A Person Re-identification Data Augmentation Method with
    Adversarial Defense Effect", and their code: area and aspect are uniform, and drawn again (a
    hundred times at most) until the rectangle fits. Its sides are taken as the paper means them;
    the code compares the height with the width's limit and the width with the height's.

    Attributes:
        probability: that an image has a grey patch. The code's default; its instructions take 0.4.
        least: the smallest share of the image's area.
        most: the largest.
        aspect: the smallest ratio of height to width; the largest is its inverse.

    Raises:
        BenchboxError: a value is out of its range.
    """

    probability: float = 0.2
    least: float = 0.02
    most: float = 0.4
    aspect: float = 0.3

    def __post_init__(self) -> None:
        if (
            not 0 <= self.probability <= 1
            or not 0 < self.least <= self.most <= 1
            or not 0 < self.aspect <= 1
        ):
            raise BenchboxError(
                "lgpr: expected probability in [0, 1], 0 < least ≤ most ≤ 1 and aspect in (0, 1], "
                f"got {self.probability!r}, {self.least!r}, {self.most!r} and {self.aspect!r}"
            )

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return images (B, 3, H, W) in [0, 1], some with a grey patch; the draws are per image."""
        inside = self.patches(len(images), images.shape[2:], generator).to(images.device)
        luma = images.new_tensor(_LUMA).view(1, 3, 1, 1)
        grey = (luma * images).sum(1, keepdim=True)
        return torch.where(inside[:, None], grey, images)

    def patches(self, count: int, size: torch.Size, generator: torch.Generator) -> Tensor:
        """Return (count, H, W) bool, where each image is to be grey."""
        height, width = size
        chosen = torch.rand(count, generator=generator) < self.probability
        area, shape, top, left = torch.rand(4, count, _ATTEMPTS, generator=generator)
        area = (self.least + (self.most - self.least) * area) * height * width
        ratio = self.aspect + (1 / self.aspect - self.aspect) * shape
        tall, wide = (area * ratio).sqrt().round(), (area / ratio).sqrt().round()
        fits = (tall < height) & (wide < width)
        first = fits.int().argmax(1, keepdim=True)
        tall, wide, top, left = (each.gather(1, first) for each in (tall, wide, top, left))
        top = (top * (height - tall + 1)).floor()
        left = (left * (width - wide + 1)).floor()
        row, column = torch.arange(height)[None], torch.arange(width)[None]
        rows = (row >= top) & (row < top + tall)
        columns = (column >= left) & (column < left + wide)
        grey = chosen & fits.any(1)
        inside: Tensor = grey[:, None, None] & rows[:, :, None] & columns[:, None, :]
        return inside


@dataclass(frozen=True, kw_only=True)
class Lgpr(Vanilla):
    """Vanilla training on images with grey patches: L = L_cls + L_tri.

    A model that cannot rely on colour everywhere is said to be harder to fool (Gong et al. 2021).

    Attributes:
        patch: the grey patches.
    """

    name: ClassVar[str] = "lgpr"

    patch: GreyPatch = field(default_factory=GreyPatch)

    @override
    def losses(self, model: ReidModel, batch: Batch) -> dict[str, Tensor]:
        """Return L_cls and L_tri on images with grey patches."""
        return super().losses(model, _patched(batch, self.patch))


@dataclass(frozen=True, kw_only=True)
class LgprAdversarial(AdvTrain):
    """Adv_train on images with grey patches, which are attacked as they are (Gong et al. 2021).

    The paper's joint defense trains on its own attack's images; ours are Adv_train's, at its
    published 5/255 and 7 steps of 1/255.

    Attributes:
        patch: the grey patches.
    """

    name: ClassVar[str] = "lgpr_adversarial"

    patch: GreyPatch = field(default_factory=GreyPatch)

    @override
    def losses(self, model: ReidModel, batch: Batch) -> dict[str, Tensor]:
        """Return L_cls and L_tri on attacked images with grey patches."""
        return super().losses(model, _patched(batch, self.patch))


def _patched(batch: Batch, patch: GreyPatch) -> Batch:
    return replace(batch, images=patch(batch.images, batch.generator))


LGPR = Defense(name="lgpr", title="LGPR", recipe=Lgpr(), source="Gong et al. 2021")
LGPR_ADVERSARIAL = Defense(
    name="lgpr_adversarial",
    title="LGPR + Adv_train",
    recipe=LgprAdversarial(),
    source="Gong et al. 2021 with Bouniot et al. 2020",
)
