"""What an ascent asks at each point: values, gradients in the pixels, and who looks on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from attacks.gradient import require_embeddings
from attacks.ranked_gradient import EmbeddingGradient
from benchbox.models.embed import Embed, of_rows

LEAST_IMAGES = 8
"""Smaller batches are filled up with copies. Kernels for very few rows (one to three, where this
was measured) add in another order than those for many, so that an image's path would depend on
how many others are still in the batch."""

Watch = Callable[[Tensor, Sequence[Tensor], Tensor], None]
"""Is shown the points (B, 3, H, W) of an ascent, the embeddings of the filled-up batch (F, D) once
for each draw, those of the points first, and which images they belong to (B,)."""


@dataclass(frozen=True, slots=True, eq=False)
class Climb:
    """Values and gradients of an objective on embeddings, at points in pixel space.

    Attributes:
        embed: differentiable, images (B, 3, H, W) in [0, 1] to embeddings (B, D).
        objective: on the embeddings of all images.
        watch: is shown each point with its embeddings.
        draws: over how many passes values and gradients are averaged (expectation over
            transformation, Athalye et al. 2018): more than 1 where a guard is randomised.
    """

    embed: Embed
    objective: EmbeddingGradient
    watch: Watch = lambda _points, _embeddings, _rows: None
    draws: int = 1

    def __call__(
        self, points: Tensor, rows: Tensor, *, with_gradient: bool = True
    ) -> tuple[Tensor, Tensor]:
        """Return the values at points (B, 3, H, W), (B,), and their gradients, (B, 3, H, W).

        Gradients that are not asked for are zero.

        Raises:
            BenchboxError: the embeddings carry no gradient, or are not finite.
        """
        filled = filled_up(len(rows), rows.device)
        objective, embed = self.objective[rows[filled]], of_rows(self.embed, rows[filled])
        drawn, values, gradients = [], [], []
        for _ in range(self.draws):
            leaf = points[filled].detach()
            with torch.set_grad_enabled(with_gradient):
                embeddings = embed(leaf.requires_grad_(with_gradient))
            require_embeddings(embeddings, len(leaf), with_gradient=with_gradient)
            value, direction = objective(embeddings.detach())
            if with_gradient:
                gradients.append(torch.autograd.grad(embeddings, leaf, direction)[0])
            else:
                gradients.append(torch.zeros_like(leaf))
            values.append(value)
            drawn.append(embeddings.detach())
        self.watch(points.detach(), drawn, rows)
        value, gradient = torch.stack(values).mean(0), torch.stack(gradients).mean(0)
        return value[: len(rows)], gradient[: len(rows)]


def filled_up(images: int, device: torch.device) -> Tensor:
    """Return the places 0 … images − 1, and again from 0 up to `LEAST_IMAGES` of them."""
    return torch.arange(max(images, LEAST_IMAGES), device=device) % images
