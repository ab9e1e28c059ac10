"""PGD on the classifier (Madry et al. 2018): only for training, queries have no class."""

import torch
import torch.nn.functional as F
from torch import Tensor

from attacks.in_training import ascend_batch
from attacks.start import uniform_noise
from benchbox.models.embed import Embed


def classifier_pgd(
    classify: Embed,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    steps: int,
    step_size: float,
    generator: torch.Generator,
) -> Tensor:
    """Return images that maximise the cross-entropy of their labels inside the ball, detached.

    x⁰ = x + U(−eps, eps); xⁿ⁺¹ = Ψ(xⁿ + step_size · sign ∇ L_ce(xⁿ, y)) (Madry et al. 2018).

    Args:
        classify: differentiable, images (B, 3, H, W) in [0, 1] to logits (B, classes).
        images: (B, 3, H, W) in [0, 1].
        labels: (B,) class indices.
        eps: radius of the L∞ ball, in [0, 1].
        steps: gradient steps.
        step_size: of one step.
        generator: of the random start.
    """

    def loss(points: Tensor) -> Tensor:
        return F.cross_entropy(classify(points).float(), labels, reduction="sum")

    start = images + eps * uniform_noise(images, range(len(images)), generator)
    return ascend_batch(loss, images, eps=eps, steps=steps, step_size=step_size, start=start)
