"""Adam (Kingma and Ba 2015, "Adam: a method for stochastic optimization") up a hill, Algorithm 1.

Three things are other than there, because an ascent in a small ball has few steps and a known size:
gradients are divided by the mean of their absolute values first, image by image, as in MI-FGSM
(Dong et al. 2018), so that steep places count as much as flat ones; the step size falls linearly to
zero; and each step is projected onto the ball. A pixel whose gradient keeps its sign moves by the
whole step, as sign steps do, one whose gradient changes or is small for this pixel by less.
"""

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from attacks.apgd import Done, Evaluate
from attacks.ascent import Ball

BETA_1 = 0.25
"""Of the mean gradient: short, for some twenty steps are over before 0.9 would have begun."""
BETA_2 = 0.99
"""Of the mean squared gradient."""
TINY = 1e-8
"""ε, what keeps a pixel without a gradient from being divided by zero."""


@dataclass(frozen=True, slots=True, eq=False)
class _Paths:
    """Where B images are on their way; `select` keeps some of them.

    Attributes:
        rows: (B,) which images.
        lower: (B, 3, H, W) the smallest pixels of their balls.
        upper: likewise the largest.
        point: (B, 3, H, W) where they are.
        mean: (B, 3, H, W) m, of the gradients so far.
        square: (B, 3, H, W) v, of their squares.
    """

    rows: Tensor
    lower: Tensor
    upper: Tensor
    point: Tensor
    mean: Tensor
    square: Tensor

    def select(self, kept: Tensor) -> "_Paths":
        """Return the paths of the images where ``kept`` (B,) is True."""
        return _Paths(**{field.name: getattr(self, field.name)[kept] for field in fields(self)})


def adam(
    evaluate: Evaluate,
    start: Tensor,
    ball: Ball,
    *,
    steps: int,
    step_size: float,
    done: Done = torch.zeros_like,
) -> Tensor:
    """Return where each image is after ``steps`` steps, which need not be the best it has been.

    Every decision is an image's own, so its path does not depend on the batch it rides in.

    Args:
        evaluate: at ``steps`` + 1 points of each image; its values are not looked at.
        start: (B, 3, H, W) in the ball.
        ball: around the clean images.
        steps: gradient steps.
        step_size: of the first step.
        done: asked after each step; an image that is done leaves the batch. By default none.
    """
    result = start.clone()
    nothing = torch.zeros_like(start)
    rows = torch.arange(len(start), device=start.device)
    paths = _Paths(rows, ball.lower, ball.upper, start, nothing, nothing)
    _, gradient = evaluate(start, rows, with_gradient=steps > 0)
    for step in range(1, steps + 1):
        left = done(paths.rows).bool()
        if left.any():
            result[paths.rows] = paths.point
            paths, gradient = paths.select(~left), gradient[~left]
            if not len(paths.rows):
                break
        size = step_size * (1 - (step - 1) / steps)
        paths = _step(paths, gradient, step=step, size=size)
        _, gradient = evaluate(paths.point, paths.rows, with_gradient=step < steps)
    result[paths.rows] = paths.point
    return result


def _step(paths: _Paths, gradient: Tensor, *, step: int, size: float) -> _Paths:
    """Take step t of Algorithm 1, upwards, with α = ``size``."""
    gradient = gradient / _mean_size(gradient)
    mean = BETA_1 * paths.mean + (1 - BETA_1) * gradient
    square = BETA_2 * paths.square + (1 - BETA_2) * gradient.square()
    unbiased_mean = mean / (1 - BETA_1**step)
    unbiased_square = square / (1 - BETA_2**step)
    ahead = paths.point + size * unbiased_mean / (unbiased_square.sqrt() + TINY)
    point = Ball(paths.lower, paths.upper).project(ahead)
    return _Paths(paths.rows, paths.lower, paths.upper, point, mean, square)


def _mean_size(gradients: Tensor) -> Tensor:
    """Return (B, 1, 1, 1) the mean absolute value in each of (B, 3, H, W), 1 where all are zero.

    One image after another: a kernel for all of them may add in an order that depends on how many
    there are.
    """
    sizes = torch.stack([image.abs().mean() for image in gradients.contiguous()])
    return torch.where(sizes > 0, sizes, 1.0).view(-1, 1, 1, 1)
