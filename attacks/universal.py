"""The universal perturbation: one δ for all queries, made on training images."""

import torch
from torch import Tensor

from attacks.ascent_attack import AscentAttack, require_budget
from attacks.gradient import ObjectiveGradient
from benchbox.errors import BenchboxError
from benchbox.models.embed import Embed


def universal_perturbation(
    embed: Embed,
    attack: AscentAttack,
    images: Tensor,
    pids: Tensor,
    *,
    eps: float,
    epochs: int,
    step_size: float,
    batch_size: int,
    generator: torch.Generator,
) -> Tensor:
    """Return one perturbation δ that raises an attack's objective on all images at once.

    Moosavi-Dezfooli et al. 2017 look for one δ that fools a classifier on most images; for ReID,
    Ding et al. 2021 (MUAP) raise a metric objective instead of crossing class borders. Here each
    batch of training images moves δ by one signed step of its summed objective,

        δ ← clip(δ + step_size · sign Σ_b ∇ f(x_b + δ), −eps, eps),

    with x_b + δ kept in [0, 1]. The attack's guides come from the clean images given.

    Args:
        embed: differentiable, images (B, 3, H, W) in [0, 1] to embeddings (B, D).
        attack: whose guides and objective are used; its budget, steps and start are not.
        images: (N, 3, H, W) in [0, 1], training images.
        pids: (N,) int64, their identities.
        eps: radius of the L∞ ball, in [0, 1].
        epochs: passes over the images.
        step_size: of one batch's step, on the pixel scale.
        batch_size: images at a time.
        generator: of the batches' order and of δ's start, uniform in ±eps.

    Returns:
        (3, H, W) in ±eps.

    Raises:
        BenchboxError: no images, or the embeddings do not fit or are not finite.
    """
    require_budget(eps)
    if images.ndim != 4 or not len(images) or len(images) != len(pids):
        raise BenchboxError(
            f"universal perturbation: expected images (N, 3, H, W) and as many pids, "
            f"got {tuple(images.shape)} and {len(pids)}"
        )
    with torch.no_grad():
        features = torch.cat([embed(batch) for batch in torch.split(images, batch_size)])
    guides = attack.guides(features, pids)
    noise = torch.empty(images.shape[1:]).uniform_(-eps, eps, generator=generator)
    delta = noise.to(images)
    for _ in range(epochs):
        order = torch.randperm(len(images), generator=generator).to(images.device)
        for rows in torch.split(order, batch_size):
            gradient = ObjectiveGradient(embed, attack.objective, guides[rows])
            with torch.enable_grad():
                slope = gradient(perturbed(images[rows], delta)).sum(dim=0)
            gradient.require_finite()
            delta = (delta + step_size * slope.sign()).clamp(-eps, eps)
    return delta


def perturbed(images: Tensor, delta: Tensor) -> Tensor:
    """Return images (B, 3, H, W) with one perturbation (3, H, W) on all, kept in [0, 1]."""
    return (images + delta).clamp(0, 1)
