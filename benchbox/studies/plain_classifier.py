"""The classification model of the study: a ResNet for 32×32 images with a plain linear head."""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from benchbox.errors import BenchboxError
from benchbox.models.registry import BACKBONES
from benchbox.models.reid import Features, ReidModel
from benchbox.models.trunks import build_timm, is_timm_name, width_of
from benchbox.training.losses import identity_loss
from benchbox.training.recipe import Batch, Recipe
from defenses.at_pgd import ATPGD

SIZE = (32, 32)
"""(height, width) in pixels: CIFAR-10's, and the stand-in's."""

_MEAN = (0.4914, 0.4822, 0.4465)  # CIFAR-10's, per channel; the stand-in's are near enough
_STD = (0.2470, 0.2435, 0.2616)


class PlainClassifier(ReidModel):
    """H(E(x)) with a linear H on the trunk's pooled output: classification has no BNNeck.

    As `ReidModel`, but the neck is the identity and the classifier has a bias, as a ResNet's has.
    """

    def __init__(self, trunk: nn.Module, *, embedding_dim: int, num_classes: int) -> None:
        super().__init__(
            trunk, embedding_dim=embedding_dim, num_classes=num_classes, mean=_MEAN, std=_STD
        )
        self.neck = nn.Identity()  # type: ignore[assignment]
        self.classifier = nn.Linear(embedding_dim, num_classes)

    @override
    def features(self, images: Tensor) -> Features:
        """Return pooled features, the same at unit length, and logits."""
        pooled = self.pool(images)
        return Features(pooled, F.normalize(pooled), self.classifier(pooled))

    @override
    def pool(self, images: Tensor) -> Tensor:
        """Return the trunk's pooled features (B, D)."""
        pooled: Tensor = self.trunk((images - self.mean) / self.std)
        return pooled.to(self.mean.dtype)


def build_classifier(name: str, *, num_classes: int = 10, seed: int = 0) -> PlainClassifier:
    """Return a randomly initialised ResNet for 32×32 images, in train mode on the CPU.

    A ResNet of ImageNet's kind gets the usual CIFAR stem, a 3×3 convolution of stride 1 without
    max pooling, and keeps the strides of its stages. ``small`` (timm's test_resnet), which is
    for machines without a GPU, keeps its own stem.

    Args:
        name: ``small``, or a timm ResNet such as ``resnet18`` or ``resnet50``.
        num_classes: at least 1.
        seed: of the initialisation; the global generators are neither read nor moved.

    Raises:
        BenchboxError: the name is not a ResNet's.
    """
    check_classifier(name)
    with torch.device("cpu"), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        if name == "small":
            trunk, _ = build_timm(BACKBONES[name].timm_name, SIZE)
        else:
            trunk = _with_cifar_stem(name)
        return PlainClassifier(trunk, embedding_dim=width_of(trunk, SIZE), num_classes=num_classes)


def check_classifier(name: str) -> None:
    """Raise unless `build_classifier` knows the name; nothing is built.

    Raises:
        BenchboxError: the name is not a ResNet's.
    """
    if name != "small" and not (name.startswith("resnet") and is_timm_name(name)):
        raise _refusal(name)


def _with_cifar_stem(name: str) -> nn.Module:
    trunk, _ = build_timm(name, SIZE)
    stem = getattr(trunk, "conv1", None)
    if not isinstance(stem, nn.Conv2d):
        raise _refusal(name)
    convolution = nn.Conv2d(3, stem.out_channels, 3, stride=1, padding=1, bias=False)
    # He et al. 2015, as timm initialises its own convolutions.
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    trunk.set_submodule("conv1", convolution)
    trunk.set_submodule("maxpool", nn.Identity())
    return trunk


def _refusal(name: str) -> BenchboxError:
    return BenchboxError(
        f"--model {name}: expected small, or a timm ResNet with a single stem convolution, such "
        "as resnet18 or resnet50."
    )


@dataclass(frozen=True, kw_only=True)
class CrossEntropy(Recipe):
    """Plain training on clean images: min_θ E L_ce(H(E(x)), y)."""

    name: ClassVar[str] = "cross_entropy"

    @override
    def losses(self, model: ReidModel, batch: Batch) -> dict[str, Tensor]:
        """Return L = L_ce(x, y), smoothed if the training says so."""
        logits = model.features(batch.images).logits
        smoothing = self.training.label_smoothing
        return {"cross_entropy": identity_loss(logits, batch.labels, smoothing=smoothing)}


@dataclass(frozen=True, kw_only=True)
class MadryAT(ATPGD):
    """Madry's adversarial training: min_θ E L_ce(H(E(x̂)), y), x̂ = PGD(x, y) (Madry et al. 2018).

    AT_PGD without the triplet loss, which is ReID's.
    """

    name: ClassVar[str] = "madry_at"

    @override
    def losses(self, model: ReidModel, batch: Batch) -> dict[str, Tensor]:
        """Return L = L_ce(x̂, y), smoothed if the training says so."""
        logits = model.features(self.attacked(model, batch)).logits
        smoothing = self.training.label_smoothing
        return {"cross_entropy": identity_loss(logits, batch.labels, smoothing=smoothing)}
