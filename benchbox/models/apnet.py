"""APNet: a ResNet-50 with an attention pyramid after its stem and after every stage.

Chen, Gu, Lu, Bao and Zhou 2021, "Person Re-identification via Attention Pyramid", IEEE
Transactions on Image Processing 30 (the channel-wise variant, APNet-C).

From the paper: the principle split - attend - merge - stack. The finer level of the pyramid
splits the channels into groups, attends to each and merges the results; the coarser level
attends to the whole feature map; the levels are stacked, fine to coarse. Level 2, as in the
authors' configuration.

From the authors' published code, where it settles what the text leaves open: the fine level is a
split attention (one descriptor shared by the groups, a softmax that lets the groups compete,
hidden width max(channels · groups / 4, 32)), followed by a batch norm without shift; the coarse
level is a squeeze-excitation without biases; the stem's pyramid comes after its max-pooling; the
residual connections are those of the stages themselves.

Our reading: the squeeze-excitation has ratio 8 everywhere. The published code has ratio 8 only
after the stem and then a hidden width of 8 at every stage (ratios 32, 64, 128 and 256). The stem
keeps its ReLU, which the published code drops: ImageNet weights were trained with it. Our trunk
is timm's ResNet-50, so the 1×1 convolutions on pooled vectors are written as linear layers, which
they are.
"""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from benchbox.models.reid import without_shift

STAGE_WIDTHS = (64, 256, 512, 1024, 2048)
"""Channels of a ResNet-50 after the stem and after each stage."""


class SplitAttention(nn.Module):
    """Split channels into groups, weigh each channel against its peers in the others, merge.

    Args:
        channels: how many channels the feature map has; a multiple of ``groups``.
        groups: into how many runs of channels the map is split.
    """

    def __init__(self, channels: int, *, groups: int) -> None:
        super().__init__()
        if channels % groups:
            raise ValueError(f"{channels} channels do not split into {groups} equal groups")
        self.groups = groups
        self.width = channels // groups
        hidden = max(channels * groups // 4, 32)
        self.squeeze = nn.Linear(self.width, hidden)
        self.norm = nn.BatchNorm1d(hidden)
        self.excite = nn.Linear(hidden, channels)

    def forward(self, maps: Tensor) -> Tensor:
        """Return the attended feature map, (B, C, H, W) like the input."""
        return maps * self.attention(maps)[:, :, None, None]

    def attention(self, maps: Tensor) -> Tensor:
        """Return (B, C) weights in (0, 1); over the groups they sum to 1."""
        descriptor = maps.mean((2, 3)).reshape(-1, self.groups, self.width).sum(1)
        scores: Tensor = self.excite(F.relu(self.norm(self.squeeze(descriptor))))
        return scores.reshape(-1, self.groups, self.width).softmax(1).flatten(1)


class SqueezeExcitation(nn.Module):
    """Weigh each channel by what the whole feature map shows (Hu, Shen and Sun 2018).

    Args:
        channels: how many channels the feature map has.
        ratio: by how much the hidden layer is narrower.
    """

    def __init__(self, channels: int, *, ratio: int = 8) -> None:
        super().__init__()
        self.squeeze = nn.Linear(channels, channels // ratio, bias=False)
        self.excite = nn.Linear(channels // ratio, channels, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        """Return the attended feature map, (B, C, H, W) like the input."""
        return maps * self.attention(maps)[:, :, None, None]

    def attention(self, maps: Tensor) -> Tensor:
        """Return (B, C) weights in (0, 1)."""
        scores: Tensor = self.excite(F.relu(self.squeeze(maps.mean((2, 3)))))
        return scores.sigmoid()


class AttentionPyramid(nn.Sequential):
    """The pyramid for one feature map: ``level`` channel groups first, then the whole.

    Args:
        channels: how many channels the feature map has.
        level: the pyramid's height; 1 is the squeeze-excitation alone.
    """

    def __init__(self, channels: int, *, level: Literal[1, 2] = 2) -> None:
        whole = SqueezeExcitation(channels)
        if level == 1:
            super().__init__(whole)
            return
        groups = SplitAttention(channels, groups=level)
        # Weights that sum to 1 over the groups shrink the map: the norm restores its scale.
        super().__init__(groups, without_shift(nn.BatchNorm2d(channels)), whole)


class APNet(nn.Module):
    """Maps normalised images (B, 3, H, W) to pooled features (B, 2048).

    Args:
        resnet: a timm ResNet-50; its layers become part of this module.
        level: the height of the pyramids.
    """

    def __init__(self, resnet: nn.Module, *, level: Literal[1, 2] = 2) -> None:
        super().__init__()
        self.stem = _sequence(resnet, "conv1", "bn1", "act1", "maxpool")
        self.stages = nn.ModuleList(
            _sequence(resnet, f"layer{number}") for number in range(1, len(STAGE_WIDTHS))
        )
        self.pyramids = nn.ModuleList(
            AttentionPyramid(channels, level=level) for channels in STAGE_WIDTHS
        )

    def forward_features(self, images: Tensor) -> Tensor:
        """Return the last feature map, (B, 2048, H/16, W/16) with a last stride of 1."""
        maps: Tensor = self.pyramids[0](self.stem(images))
        for stage, pyramid in zip(self.stages, self.pyramids[1:], strict=True):
            maps = pyramid(stage(maps))
        return maps

    def forward(self, images: Tensor) -> Tensor:
        """Return the global average of the last feature map, (B, 2048)."""
        return self.forward_features(images).mean((2, 3))


def _sequence(resnet: nn.Module, *names: str) -> nn.Sequential:
    return nn.Sequential(*(resnet.get_submodule(name) for name in names))
