"""The attack inside adversarial training: on a batch, by its own guides or by any objective."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from attacks.ascent import Ball, Gradient, ascend
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


def ascend_batch(
    objective: Callable[[Tensor], Tensor],
    images: Tensor,
    *,
    eps: float,
    steps: int,
    step_size: float,
    start: Tensor | None = None,
    remembering: Callable[[Gradient], Gradient] = lambda gradient: gradient,
) -> Tensor:
    """Return images that raise an objective of a whole batch inside the ball, detached.

    x⁰ = Ψ(start); xⁿ⁺¹ = Ψ(xⁿ + step_size · sign ∇ objective(xⁿ)).

    Args:
        objective: (B, 3, H, W) to a scalar, differentiable; a sum over images, so that an image's
            gradient does not depend on the size of its batch.
        images: (B, 3, H, W) in [0, 1].
        eps: radius of the L∞ ball, in [0, 1].
        steps: gradient steps.
        step_size: of one step.
        start: (B, 3, H, W) where to start; the images themselves if None.
        remembering: makes another direction of the gradient, such as a running one.
    """

    def gradient(points: Tensor) -> Tensor:
        points = points.detach().requires_grad_()
        return torch.autograd.grad(objective(points), points)[0]

    ball = Ball.around(images, eps)
    with torch.enable_grad():
        reached = ascend(
            images if start is None else start,
            remembering(gradient),
            ball,
            steps=steps,
            step_size=step_size,
        )
    return ball.project(reached).detach()
