"""A small residual network for person re-identification, in plain PyTorch."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Block(nn.Module):
    """Two 3×3 convolutions and a shortcut; halves height and width."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride=2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, outputs, H/2, W/2)."""
        inner = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(inner)) + self.shortcut(x))


class SmallNet(nn.Module):
    """Images (B, 3, H, W), normalised, to features (B, 128); to logits while it trains."""

    def __init__(self, identities: int = 0) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 24, 3, padding=1)
        self.blocks = nn.Sequential(Block(24, 48), Block(48, 96), Block(96, 128))
        self.bottleneck = nn.BatchNorm1d(128)
        self.classifier = nn.Linear(128, identities) if identities else None

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Return features in evaluation mode, and (logits, pooled features) in train mode."""
        pooled = self.blocks(F.relu(self.stem(images))).mean(dim=(2, 3))
        features = self.bottleneck(pooled)
        if self.training and self.classifier is not None:
            return self.classifier(features), pooled
        return features


def normalise(images: Tensor) -> Tensor:
    """Return images in [0, 1] as the network takes them: mean 0.5, standard deviation 0.25."""
    return (images - torch.tensor(0.5)) / torch.tensor(0.25)
