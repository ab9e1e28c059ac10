"""The attack inside adversarial training: the batch is its own set of guides."""

import torch
from torch import Tensor, nn

from attacks.base import Attack


def attack_batch(
    attack: Attack,
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return adversarial versions of a training batch, detached.

    The model attacks itself in evaluation mode (batch norm uses its running statistics, which
    the attack must not move) and has its own mode again afterwards.

    Args:
        attack: with its budget and steps.
        model: images → embeddings.
        images: (B, 3, H, W) in [0, 1].
        labels: (B,) identities.
        generator: of random starts.
    """
    mode = model.training
    model.eval()
    with torch.no_grad():
        embeddings = model(images)
    guides = attack.guides(embeddings.float(), labels)
    adversarial = attack(model, images, guides, generator=generator)
    model.train(mode)
    return adversarial
