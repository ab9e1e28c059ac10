"""The two losses of the field's strong baseline: smoothed cross-entropy and batch-hard triplet."""

import torch
import torch.nn.functional as F
from torch import Tensor


def identity_loss(logits: Tensor, labels: Tensor, *, smoothing: float = 0.1) -> Tensor:
    """Return the mean cross-entropy over identities with label smoothing (Szegedy et al. 2016).

    Args:
        logits: (B, classes).
        labels: (B,) class indices.
        smoothing: share of the mass spread evenly over all classes, in [0, 1).
    """
    return F.cross_entropy(logits, labels, label_smoothing=smoothing)


def triplet_loss(features: Tensor, labels: Tensor, *, margin: float = 0.3) -> Tensor:
    """Return the batch-hard triplet loss (Hermans et al. 2017): mean of [d(a, p) − d(a, n) + m]₊.

    For each anchor, p is its farthest positive and n its nearest negative in the batch, by
    Euclidean distance. An anchor without a positive or a negative in the batch is left out.

    Args:
        features: (B, D), before the neck.
        labels: (B,) class indices.
        margin: m.
    """
    # Half precision cancels in |a|² + |b|² − 2ab; distances are always taken in the wider type.
    features = features.float() if features.dtype != torch.float64 else features
    squared = features.square().sum(1)
    gaps = squared[:, None] + squared[None, :] - 2 * features @ features.T
    distances = gaps.clamp(min=1e-12).sqrt()
    same = labels[:, None] == labels[None, :]
    oneself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    positive = same & ~oneself
    usable = positive.any(1) & (~same).any(1)
    hardest_positive = distances.masked_fill(~positive, -torch.inf).amax(1)
    hardest_negative = distances.masked_fill(same, torch.inf).amin(1)
    losses = F.relu(hardest_positive[usable] - hardest_negative[usable] + margin)
    return losses.sum() / usable.sum().clamp(min=1)
