"""What an ascent asks at each point: values, gradients in the pixels, and who looks on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from attacks.gradient import Embed, require_embeddings
from attacks.ranked_gradient import EmbeddingGradient

Watch = Callable[[Tensor, Sequence[Tensor]], None]
"""Is shown the points (B, 3, H, W) of an ascent and their embeddings, one (B, D) for each draw."""


def unwatched(_points: Tensor, _embeddings: Sequence[Tensor]) -> None:
    """Look away."""


@dataclass(frozen=True, slots=True, eq=False)
class Climb:
    """Values and gradients of an objective on embeddings, at points in pixel space.

    Attributes:
        embed: differentiable, images (B, 3, H, W) in [0, 1] to embeddings (B, D).
        objective: on embeddings.
        draws: over how many passes values and gradients are averaged (expectation over
            transformation, Athalye et al. 2018): more than 1 where a guard is randomised.
        watch: is shown each point with its embeddings.
    """

    embed: Embed
    objective: EmbeddingGradient
    draws: int = 1
    watch: Watch = unwatched

    def __call__(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return the values (B,) at ``points`` and their gradients, the shape of the points.

        Raises:
            BenchboxError: the embeddings carry no gradient, or are not finite.
        """
        drawn, values, gradients = [], [], []
        for _ in range(self.draws):
            with torch.enable_grad():
                leaf = points.detach().requires_grad_()
                embeddings = self.embed(leaf)
                require_embeddings(embeddings, len(points))
                value, direction = self.objective(embeddings.detach())
                gradients.append(torch.autograd.grad(embeddings, leaf, direction)[0])
            values.append(value)
            drawn.append(embeddings.detach())
        self.watch(points, drawn)
        return torch.stack(values).mean(0), torch.stack(gradients).mean(0)
