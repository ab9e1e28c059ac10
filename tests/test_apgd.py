"""Auto-PGD against the paper's algorithm written naively, one image at a time."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from attacks.apgd import apgd, checkpoints
from attacks.ascent import Ball

EPS = 16 / 255
SHAPE = (3, 4, 6)


def classifier(seed=0):
    torch.manual_seed(seed)
    layers = nn.Linear(int(np.prod(SHAPE)), 16), nn.Tanh(), nn.Linear(16, 4)
    model = nn.Sequential(nn.Flatten(), *layers).double()
    model[1].weight.data *= 6  # winding: images halve their steps at different checkpoints
    return model


def cross_entropy(model, labels):
    def evaluate(points, rows, *, with_gradient=True):
        points = points.detach().requires_grad_()
        values = nn.functional.cross_entropy(model(points), labels[rows], reduction="none")
        gradient = torch.autograd.grad(values.sum(), points)[0]
        return values.detach(), gradient if with_gradient else torch.full_like(points, torch.nan)

    return evaluate


def published_checkpoints(steps):
    """p_j as Section 3.2 writes them, without our integers."""
    p = [0.0, 0.22]
    while p[-1] <= 1:
        p.append(p[-1] + max(p[-1] - p[-2] - 0.03, 0.06))
    return sorted({math.ceil(round(steps * share, 9)) for share in p[1:-1]})


def algorithm_1(function, clean, start, *, eps, steps):
    """Algorithm 1 line by line for one image in numpy; ``function`` gives f and its gradient."""

    def project(point):
        return np.clip(np.clip(point, clean - eps, clean + eps), 0, 1)

    checks = [0, *published_checkpoints(steps)]
    eta = {0: 2 * eps}
    x = {0: start}
    f0, slope = function(start)
    x[1] = project(x[0] + eta[0] * np.sign(slope))
    f1, _ = function(x[1])
    f_max, x_max = (f1, x[1]) if f1 > f0 else (f0, start)
    values = {0: f0, 1: f1}  # of the iterates as they stand, restarts included
    rose = {0: f1 > f0}
    best_at, size_at = {0: f0}, {0: eta[0]}
    size = eta[0]

    def judge(step):
        nonlocal size
        if step not in checks[1:]:
            return
        last = checks[checks.index(step) - 1]
        first = sum(rose[i] for i in range(last, step)) < 0.75 * (step - last)
        second = size_at[last] == size and best_at[last] == f_max
        # The size at a checkpoint is the one that was used up to it: Condition 2 asks whether the
        # last checkpoint left it as it was.
        size_at[step] = size
        best_at[step] = f_max
        if first or second:
            size /= 2
            x[step], values[step] = x_max, f_max

    judge(1)
    for k in range(1, steps):
        _, slope = function(x[k])
        z = project(x[k] + size * np.sign(slope))
        x[k + 1] = project(x[k] + 0.75 * (z - x[k]) + 0.25 * (x[k] - x[k - 1]))
        values[k + 1], _ = function(x[k + 1])
        rose[k] = values[k + 1] > values[k]
        if values[k + 1] > f_max:
            f_max, x_max = values[k + 1], x[k + 1]
        judge(k + 1)
    return x_max, f_max, size


def test_the_papers_checkpoints():
    assert checkpoints(100) == (22, 41, 57, 70, 80, 87, 93, 99)
    for steps in range(1, 300):
        assert checkpoints(steps) == tuple(published_checkpoints(steps))
    assert checkpoints(0) == (0,)


@pytest.mark.parametrize("steps", [1, 2, 10, 37, 100])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_equals_the_algorithm_image_by_image(steps, seed):
    model = classifier(seed)
    images = torch.rand(6, *SHAPE, dtype=torch.float64)
    labels = torch.arange(6) % 4
    evaluate = cross_entropy(model, labels)
    start = (images + EPS * (2 * torch.rand_like(images) - 1)).clamp(0, 1)
    found = apgd(evaluate, start, Ball.around(images, EPS), steps=steps, step_size=2 * EPS)
    sizes = set()
    for row in range(6):

        def function(point, row=row):
            value, slope = evaluate(torch.from_numpy(point)[None], torch.tensor([row]))
            return value.item(), slope[0].numpy()

        point, value, size = algorithm_1(
            function, images[row].numpy(), start[row].numpy(), eps=EPS, steps=steps
        )
        np.testing.assert_allclose(found[row].numpy(), point, atol=1e-12)
        assert evaluate(found[row : row + 1], torch.tensor([row]))[0].item() == pytest.approx(value)
        sizes.add(size)
    if steps == 10:
        assert len(sizes) > 1  # images halve their steps at checkpoints of their own


def test_an_images_path_does_not_depend_on_its_batch_nor_on_who_leaves():
    model = classifier()
    images = torch.rand(8, *SHAPE, dtype=torch.float64)
    labels = torch.arange(8) % 4
    ball = Ball.around(images, EPS)
    whole = apgd(cross_entropy(model, labels), images, ball, steps=40, step_size=2 * EPS)
    for rows in ([0, 1, 2], [7], [6, 2, 4]):
        part = apgd(
            cross_entropy(model, labels[rows]),
            images[rows],
            Ball(ball.lower[rows], ball.upper[rows]),
            steps=40,
            step_size=2 * EPS,
        )
        torch.testing.assert_close(part, whole[rows], rtol=0, atol=1e-12)
    asked = []

    def odd_ones_leave_after_ten(rows):
        asked.append(len(rows))
        return (rows % 2 == 1) if len(asked) == 11 else torch.zeros_like(rows)

    mixed = apgd(
        cross_entropy(model, labels),
        images,
        ball,
        steps=40,
        step_size=2 * EPS,
        done=odd_ones_leave_after_ten,
    )
    torch.testing.assert_close(mixed[::2], whole[::2], rtol=0, atol=1e-12)
    assert asked == [8] * 11 + [4] * 29
    # Who left keeps the best of the eleven points until then.
    seen = []

    def remembered(points, rows, *, with_gradient):
        values, gradients = cross_entropy(model, labels)(points, rows)
        seen.append((points, values))
        return values, gradients

    apgd(remembered, images, ball, steps=40, step_size=2 * EPS)
    values = torch.stack([value for _, value in seen[:11]])
    best = torch.stack([points for points, _ in seen[:11]])[values.argmax(0), torch.arange(8)]
    assert torch.equal(mixed[1::2], best[1::2])


def test_all_may_leave_at_once():
    images = torch.rand(3, *SHAPE, dtype=torch.float64)
    labels = torch.arange(3)
    start = images + 0.01
    found = apgd(
        cross_entropy(classifier(), labels),
        start,
        Ball.around(images, EPS),
        steps=9,
        step_size=2 * EPS,
        done=torch.ones_like,
    )
    assert torch.equal(found, start)
