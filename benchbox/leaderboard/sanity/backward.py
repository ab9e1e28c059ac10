"""Other backward passes for a guard: what an attacker may try who does not trust its gradient."""

import torch
import torch.nn.functional as F
from torch import Tensor

from benchbox.models.embed import Bound, Embed
from defenses import Guard


def straight_through(guard: Guard) -> Guard:
    """Return the guard with the identity as its backward pass (BPDA).

    Athalye, Carlini and Wagner 2018, "Obfuscated Gradients Give a False Sense of Security".
    """
    return lambda images: _with_gradient_of(guard(images), images)


def average_pooled(guard: Guard, *, kernel: int = 3) -> Guard:
    """Return the guard with average pooling as its backward pass.

    A median or another rank filter passes the whole gradient to one pixel of its window, which
    changes from step to step; the mean of the window is its smooth stand-in.
    """

    def pooled(images: Tensor) -> Tensor:
        margin = kernel // 2
        padded = F.pad(images, (margin,) * 4, mode="reflect")
        return _with_gradient_of(guard(images), F.avg_pool2d(padded, kernel, stride=1))

    return pooled


def averaged_over_draws(embed: Embed, *, draws: int = 8) -> Embed:
    """Return the mean embedding over a guard's random draws (EOT, Athalye et al. 2018)."""
    drawn = embed.embed if isinstance(embed, Bound) else embed

    def mean(images: Tensor, *ids: Tensor) -> Tensor:
        return torch.stack([drawn(images, *ids) for _ in range(draws)]).mean(0)

    return Bound(mean, embed.ids) if isinstance(embed, Bound) else mean


def _with_gradient_of(values: Tensor, smooth: Tensor) -> Tensor:
    """Return ``values``, with the gradient of ``smooth``."""
    return smooth + (values - smooth).detach()
