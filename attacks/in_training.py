"""The attack inside adversarial training: the batch is its own set of guides."""

import torch
from torch import Tensor, nn

from attacks.ascent_attack import AscentAttack
from benchbox.models.embed import Embed
from benchbox.models.folding import attack_ready


def attack_batch(
    attack: AscentAttack,
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
    embed = frozen(model)
    with torch.no_grad():
        embeddings = embed(images)
    guides = attack.guides(embeddings, labels)
    return attack(embed, images, guides, generator=generator)


def frozen(model: nn.Module) -> Embed:
    """Return a model in training as an attack wants it: evaluated, and fast.

    It is a frozen copy, so the model keeps its mode, gradients and statistics. Under autocast it
    runs in bfloat16, else in the model's own precision.
    """
    device = next(model.parameters()).device.type
    half = torch.is_autocast_enabled(device)
    return attack_ready(model, precision="bf16" if half else "fp32")
