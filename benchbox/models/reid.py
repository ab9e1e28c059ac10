"""The ReID model: normalisation, a trunk, and the head of the strong baseline (BNNeck)."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

Norm = TypeVar("Norm", nn.BatchNorm1d, nn.BatchNorm2d)

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Features(NamedTuple):
    """What a training loss may ask of one batch.

    Attributes:
        pooled: (B, D), the trunk's pooled output, before the neck: for the triplet loss.
        embedding: (B, D), after the neck, of unit length: for retrieval and metric attacks.
        logits: (B, num_classes), the classifier on the neck's output (not unit length).
    """

    pooled: Tensor
    embedding: Tensor
    logits: Tensor


class ReidModel(nn.Module):
    """Embeds images in [0, 1]; normalisation and head are inside, so attacks work on pixels.

    The head is the BNNeck of Luo et al. 2019 ("Bag of Tricks and a Strong Baseline for Deep
    Person Re-identification"): a batch norm without shift, then a classifier without bias. The
    identity loss acts behind the neck, the triplet loss before it. The embedding is taken behind
    the neck and scaled to unit length, so that cosine and Euclidean distance rank alike.

    ``forward`` skips the classifier. It runs in any floating precision, in channels-last, under
    autocast (the head stays in the parameters' precision, except the classifier) and under
    `torch.func.functional_call`; `functional_features` does the same for `features`.

    Mean and standard deviation are persistent buffers: a weights file carries the normalisation
    that it was trained with.

    Args:
        trunk: maps normalised images (B, 3, H, W) to pooled features (B, embedding_dim).
        embedding_dim: D, the trunk's width.
        num_classes: how many training identities the classifier tells apart.
        mean: what is subtracted from each RGB channel, on the [0, 1] scale.
        std: what each RGB channel is divided by after that, on the [0, 1] scale.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        trunk: nn.Module,
        *,
        embedding_dim: int,
        num_classes: int,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        super().__init__()
        self.embedding_dim = embedding_dim
        self.num_classes = num_classes
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))
        self.trunk = trunk
        self.neck = without_shift(nn.BatchNorm1d(embedding_dim))
        self.classifier = nn.Linear(embedding_dim, num_classes, bias=False)
        nn.init.normal_(self.classifier.weight, std=0.001)

    def forward(self, images: Tensor) -> Tensor:
        """Return the embeddings (B, D) of unit length of images (B, 3, H, W) in [0, 1]."""
        return F.normalize(self.neck(self.pool(images)))

    def features(self, images: Tensor) -> Features:
        """Return pooled features, embeddings and logits of images (B, 3, H, W) in [0, 1]."""
        pooled = self.pool(images)
        necked = self.neck(pooled)
        return Features(pooled, F.normalize(necked), self.classifier(necked))

    def pool(self, images: Tensor) -> Tensor:
        """Return the trunk's pooled features (B, D), before the neck."""
        pooled: Tensor = self.trunk((images - self.mean) / self.std)
        # Under autocast the trunk ends in half precision, too coarse for norms and distances.
        return pooled.to(self.neck.weight.dtype)


def functional_features(
    model: ReidModel, tensors: Mapping[str, Tensor], images: Tensor
) -> Features:
    """Return ``model.features(images)`` with some parameters or buffers replaced.

    `torch.func.functional_call` reaches ``forward`` only; meta-learning losses need the rest.

    Args:
        model: left as it is, but for running statistics in train mode that are not replaced.
        tensors: by the names of ``model.named_parameters()`` and ``model.named_buffers()``.
        images: (B, 3, H, W) in [0, 1].
    """
    renamed = {f"model.{name}": tensor for name, tensor in tensors.items()}
    features: Features = functional_call(_FeaturesView(model), renamed, (images,))
    return features


class _FeaturesView(nn.Module):
    """Makes ``features`` the forward of a module."""

    def __init__(self, model: ReidModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Features:
        return self.model.features(images)


def without_shift(norm: Norm) -> Norm:
    """Remove a batch norm's shift: no parameter is left that could be trained by accident."""
    norm.register_parameter("bias", None)
    return norm
