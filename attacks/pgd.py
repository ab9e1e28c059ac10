"""PGD on the classifier (Madry et al. 2018): only for training, queries have no class."""

import torch
import torch.nn.functional as F
from torch import Tensor

from attacks.ascent import Ball, ascend
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

    def gradient(points: Tensor) -> Tensor:
        points = points.detach().requires_grad_()
        # A sum, so that an image's gradient does not depend on the size of its batch.
        loss = F.cross_entropy(classify(points).float(), labels, reduction="sum")
        return torch.autograd.grad(loss, points)[0]

    ball = Ball.around(images, eps)
    start = images + eps * uniform_noise(images, range(len(images)), generator)
    with torch.enable_grad():
        reached = ascend(start, gradient, ball, steps=steps, step_size=step_size)
    return ball.project(reached).detach()
