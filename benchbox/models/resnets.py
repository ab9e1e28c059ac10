"""ResNet-50s as four public repositories compute them: same tensors, not the same function.

A checkpoint's names and shapes do not tell how the tensors are used. These ResNet-50s differ in
what their files do not show: whether a ReLU follows the stem, how the max-pooling is aligned,
whether the last stage halves the map, and what comes behind the pooling. Each is read off its
repository's source:

- reid-strong-baseline (github.com/michuanhaohao/reid-strong-baseline, modeling/): its ResNet has
  no ReLU behind the stem, which its authors note beside the line; the BNNeck's output is ranked
  after scaling to unit length, or the pooled feature where there is no neck or its configuration
  says ``NECK_FEAT: before``.
- fast-reid (github.com/JDAI-CV/fast-reid, fastreid/modeling/; release 1.4.0 of its package): the
  max-pooling has no padding and rounds its size up. Files of its model zoo (2020) are older: their
  neck is called ``bnneck``, and the pooling was padded as usual.
- torchreid (github.com/KaiyangZhou/deep-person-reid; release 0.2.5 of its package): the last stage
  halves the map, there is no neck, Euclidean distances of pooled features.
- adv-reid (github.com/CEA-LIST/adv-reid, models/architectures/): the last stage halves the map; a
  batch norm with shift behind the pooling, or a small head trained by triplets.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from benchbox.models.reid import IMAGENET_MEAN, IMAGENET_STD
from benchbox.models.trunks import build_timm, last_stride_one

Head = Literal["pooled", "batch_norm", "batch_norm_relu_linear", "linear_batch_norm_relu"]

POOLED_WIDTH = 2048
"""Channels of a ResNet-50's last feature map."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResNetVariant:
    """What a ResNet-50's tensors do not tell.

    Attributes:
        repository: whose it is.
        stem_relu: whether a ReLU follows the stem's batch norm.
        max_pool: ``padded`` by one pixel on each side as in torchvision, or not padded and with
            its output size ``rounded up``.
        last_stride: of the last stage.
        head: what makes the embedding of the pooled feature.
        distance: what its authors rank by.
        interpolation: how its authors resize test images.
    """

    repository: str
    head: Head
    distance: Literal["euclidean", "cosine"]
    stem_relu: bool = True
    max_pool: Literal["padded", "rounded up"] = "padded"
    last_stride: Literal[1, 2] = 1
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"


VARIANTS: dict[str, ResNetVariant] = {
    "strong_baseline_resnet50": ResNetVariant(
        repository="reid-strong-baseline", stem_relu=False, head="batch_norm", distance="cosine"
    ),
    "strong_baseline_resnet50_pooled": ResNetVariant(
        repository="reid-strong-baseline", stem_relu=False, head="pooled", distance="cosine"
    ),
    "fastreid_resnet50": ResNetVariant(
        repository="fast-reid",
        max_pool="rounded up",
        head="batch_norm",
        distance="cosine",
        interpolation="bicubic",
    ),
    "fastreid_resnet50_2020": ResNetVariant(
        repository="fast-reid", head="batch_norm", distance="cosine", interpolation="bicubic"
    ),
    "torchreid_resnet50": ResNetVariant(
        repository="torchreid", last_stride=2, head="pooled", distance="euclidean"
    ),
    "torchreid_resnet50_fc512": ResNetVariant(
        repository="torchreid", head="linear_batch_norm_relu", distance="euclidean"
    ),
    "adv_reid_classification": ResNetVariant(
        repository="adv-reid", last_stride=2, head="batch_norm", distance="euclidean"
    ),
    "adv_reid_triplet": ResNetVariant(
        repository="adv-reid", last_stride=2, head="batch_norm_relu_linear", distance="euclidean"
    ),
}
"""Builders by name. All take images of 256×128 pixels or any other size, RGB, ImageNet's mean."""


class Embedder(nn.Module):
    """Embeds images in [0, 1] for retrieval only: no classifier, nothing to train by.

    The embedding is the repository's own, of whatever length.

    Args:
        trunk: maps normalised images (B, 3, H, W) to pooled features (B, 2048).
        head: maps pooled features to embeddings (B, D).
    """

    mean: Tensor
    std: Tensor

    def __init__(self, trunk: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1))
        self.trunk = trunk
        self.head = head

    def forward(self, images: Tensor) -> Tensor:
        """Return the embeddings (B, D) of images (B, 3, H, W) in [0, 1]."""
        embeddings: Tensor = self.head(self.trunk((images - self.mean) / self.std))
        return embeddings


def build_variant(variant: ResNetVariant, *, embedding_dim: int = POOLED_WIDTH) -> Embedder:
    """Build a repository's ResNet-50 on the CPU, randomly initialised, in evaluation mode.

    Args:
        variant: one of `VARIANTS`.
        embedding_dim: D; only heads with a linear layer have a choice.
    """
    trunk, _ = build_timm("resnet50", (64, 32))  # of a ResNet, any size will do
    if variant.last_stride == 1:
        last_stride_one(trunk)
    if not variant.stem_relu:
        trunk.act1 = nn.Identity()
    if variant.max_pool == "rounded up":
        trunk.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True)
    return Embedder(trunk, _head(variant.head, embedding_dim)).eval()


def _head(head: Head, embedding_dim: int) -> nn.Module:
    match head:
        case "pooled":
            return nn.Identity()
        case "batch_norm":
            return nn.BatchNorm1d(POOLED_WIDTH)
        case "batch_norm_relu_linear":
            return nn.Sequential(
                nn.BatchNorm1d(POOLED_WIDTH), nn.ReLU(), nn.Linear(POOLED_WIDTH, embedding_dim)
            )
        case "linear_batch_norm_relu":
            return nn.Sequential(
                nn.Linear(POOLED_WIDTH, embedding_dim), nn.BatchNorm1d(embedding_dim), nn.ReLU()
            )
