"""Other backward passes for a guard: what an attacker may try who does not trust its gradient."""

import torch
import torch.nn.functional as F
from torch import Tensor

from benchbox.models.embed import Embed
from defenses import Guard


def straight_through(model: Embed, guard: Guard) -> Embed:
    """Return the defended model with the identity as its guard's backward pass (BPDA).

    Athalye, Carlini and Wagner 2018, "Obfuscated Gradients Give a False Sense of Security".
    """

    def embed(images: Tensor) -> Tensor:
        return model(_with_gradient_of(guard(images), images))

    return embed


def average_pooled(model: Embed, guard: Guard, *, kernel: int = 3) -> Embed:
    """Return the defended model with average pooling as its guard's backward pass.

    A median or another rank filter passes the whole gradient to one pixel of its window, which
    changes from step to step; the mean of the window is its smooth stand-in.
    """

    def embed(images: Tensor) -> Tensor:
        margin = kernel // 2
        padded = F.pad(images, (margin,) * 4, mode="reflect")
        return model(_with_gradient_of(guard(images), F.avg_pool2d(padded, kernel, stride=1)))

    return embed


def averaged_over_draws(embed: Embed, *, draws: int = 8) -> Embed:
    """Return the mean embedding over a guard's random draws (EOT, Athalye et al. 2018)."""

    def mean(images: Tensor) -> Tensor:
        return torch.stack([embed(images) for _ in range(draws)]).mean(0)

    return mean


def _with_gradient_of(values: Tensor, smooth: Tensor) -> Tensor:
    """Return ``values``, with the gradient of ``smooth``."""
    return smooth + (values - smooth).detach()
