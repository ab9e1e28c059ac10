"""Auto-PGD (Croce and Hein 2020, "Reliable evaluation of adversarial robustness…"), Algorithm 1.

Gradient ascent without a step size to choose. The step starts at twice the budget and is halved,
image by image, whenever the objective stops rising; from there on the image starts again from the
best point it has been at.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Protocol

import torch
from torch import Tensor

from attacks.ascent import Ball

MOMENTUM = 0.75
RISING = 0.75
"""ρ: with fewer than this share of rising steps between two checkpoints, the step is halved."""

Done = Callable[[Tensor], Tensor]
"""Which images (B,) to whether each of them needs no more steps, (B,) bool."""


class Evaluate(Protocol):
    """What is climbed."""

    def __call__(
        self, points: Tensor, rows: Tensor, *, with_gradient: bool
    ) -> tuple[Tensor, Tensor]:
        """Return the values (B,) that are to increase, and their gradients (B, 3, H, W).

        Args:
            points: (B, 3, H, W).
            rows: (B,) which images they belong to.
            with_gradient: without it anything of the points' shape will do for gradients.
        """
        ...


def checkpoints(steps: int) -> tuple[int, ...]:
    """Return w_1 < w_2 < … of Section 3.2: after which steps an image's step size is judged.

    p_0 = 0, p_1 = 0.22, p_{j+1} = p_j + max(p_j − p_{j−1} − 0.03, 0.06); w_j = ⌈p_j · steps⌉. For
    100 steps: 22, 41, 57, 70, 80, 87, 93, 99. In whole hundredths, where rounding has no say.
    """
    before, now = 0, 22
    found = []
    while now <= 100:
        found.append(-(-now * steps // 100))
        before, now = now, now + max(now - before - 3, 6)
    return tuple(dict.fromkeys(found))


@dataclass(frozen=True, slots=True, eq=False)
class _Paths:
    """Where B images are on their way; `select` keeps some of them.

    Attributes:
        rows: (B,) which images.
        lower: (B, 3, H, W) the smallest pixels of their balls.
        upper: likewise the largest.
        size: (B, 1, 1, 1) η, of the next step.
        before: (B, 3, H, W) the point before this one.
        point: this one.
        value: (B,) of the objective here.
        gradient: (B, 3, H, W) here.
        best: (B, 3, H, W) the point of the highest value so far.
        best_value: (B,) there.
        best_gradient: (B, 3, H, W) there.
        rises: (B,) steps since the last checkpoint that raised the objective.
        value_at_check: (B,) the highest value up to the last checkpoint.
        halved: (B,) bool, whether that checkpoint halved the step.
    """

    rows: Tensor
    lower: Tensor
    upper: Tensor
    size: Tensor
    before: Tensor
    point: Tensor
    value: Tensor
    gradient: Tensor
    best: Tensor
    best_value: Tensor
    best_gradient: Tensor
    rises: Tensor
    value_at_check: Tensor
    halved: Tensor

    def select(self, kept: Tensor) -> "_Paths":
        """Return the paths of the images where ``kept`` (B,) is True."""
        return _Paths(**{field.name: getattr(self, field.name)[kept] for field in fields(self)})


def apgd(
    evaluate: Evaluate,
    start: Tensor,
    ball: Ball,
    *,
    steps: int,
    step_size: float,
    done: Done = torch.zeros_like,
) -> Tensor:
    """Return the best point that each image has been at, of the start and ``steps`` steps.

    Every decision is an image's own, so its path does not depend on the batch it rides in.

    Args:
        evaluate: at ``steps`` + 1 points of each image.
        start: (B, 3, H, W) in the ball.
        ball: around the clean images.
        steps: gradient steps.
        step_size: η⁰, of the first ones; the paper's is twice the ball's radius.
        done: asked after each step; an image that is done leaves the batch. By default none.
    """
    result = start.clone()
    paths = _begin(evaluate, start, ball, step_size)
    checks = checkpoints(steps)
    last_check = 0
    for step in range(1, steps + 1):
        left = done(paths.rows).bool()
        if left.any():
            result[paths.rows] = paths.best
            paths = paths.select(~left)
            if not len(paths.rows):
                break
        momentum = MOMENTUM if step > 1 else 1.0
        paths = _step(evaluate, paths, momentum=momentum, goes_on=step < steps)
        if step in checks:
            paths = _check(paths, steps=step - last_check)
            last_check = step
    result[paths.rows] = paths.best
    return result


def _begin(evaluate: Evaluate, start: Tensor, ball: Ball, step_size: float) -> _Paths:
    rows = torch.arange(len(start), device=start.device)
    value, gradient = evaluate(start, rows, with_gradient=True)
    return _Paths(
        rows=rows,
        lower=ball.lower,
        upper=ball.upper,
        size=start.new_full((len(start), 1, 1, 1), step_size),
        before=start,
        point=start,
        value=value,
        gradient=gradient,
        best=start,
        best_value=value,
        best_gradient=gradient,
        rises=torch.zeros_like(value),
        value_at_check=value,
        halved=torch.zeros_like(value, dtype=torch.bool),
    )


def _step(evaluate: Evaluate, paths: _Paths, *, momentum: float, goes_on: bool) -> _Paths:
    """Take the step of lines 7 and 8, with momentum α, and remember the best point."""
    ball = Ball(paths.lower, paths.upper)
    ahead = ball.project(paths.point + paths.size * paths.gradient.sign())  # z of line 7
    moved = momentum * (ahead - paths.point) + (1 - momentum) * (paths.point - paths.before)
    point = ball.project(paths.point + moved)
    value, gradient = evaluate(point, paths.rows, with_gradient=goes_on)
    better = value > paths.best_value
    pixels = _per_pixel(better)
    return replace(
        paths,
        before=paths.point,
        point=point,
        value=value,
        gradient=gradient,
        best=torch.where(pixels, point, paths.best),
        best_value=torch.where(better, value, paths.best_value),
        best_gradient=torch.where(pixels, gradient, paths.best_gradient),
        rises=paths.rises + (value > paths.value),
    )


def _check(paths: _Paths, *, steps: int) -> _Paths:
    """Halve the step and go back to the best point where one of the two conditions holds."""
    oscillates = paths.rises < RISING * steps
    rests = ~paths.halved & (paths.best_value == paths.value_at_check)
    halve = oscillates | rests
    pixels = _per_pixel(halve)
    return replace(
        paths,
        size=torch.where(pixels, paths.size / 2, paths.size),
        point=torch.where(pixels, paths.best, paths.point),
        value=torch.where(halve, paths.best_value, paths.value),
        gradient=torch.where(pixels, paths.best_gradient, paths.gradient),
        rises=torch.zeros_like(paths.rises),
        value_at_check=paths.best_value,
        halved=halve,
    )


def _per_pixel(images: Tensor) -> Tensor:
    """Return (B,) as (B, 1, 1, 1)."""
    return images.view(-1, 1, 1, 1)
