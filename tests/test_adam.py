"""Adam in a ball against torch's own optimiser, one image at a time."""

import pytest
import torch
from torch import Tensor, nn

from attacks.adam import BETA_1, BETA_2, TINY, adam
from attacks.ascent import Ball

EPS = 16 / 255
SHAPE = (3, 4, 6)
WEIGHTS = 3 * torch.randn(8, 72, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def winding(points: Tensor, rows: Tensor) -> Tensor:
    """A hilly objective, another for each row, whose slopes differ a thousandfold in size."""
    heights = torch.sin((points.flatten(1) * WEIGHTS[rows]).cumsum(1)).sum(1)
    return heights * 10.0 ** (rows.double() - 4)


def evaluate(points: Tensor, rows: Tensor, *, with_gradient: bool) -> tuple[Tensor, Tensor]:
    leaf = points.detach().requires_grad_()
    values = winding(leaf, rows)
    (gradient,) = torch.autograd.grad(values.sum(), leaf)
    return values.detach(), gradient if with_gradient else torch.full_like(leaf, torch.nan)


def by_torch(clean: Tensor, row: int, *, steps: int, step_size: float) -> Tensor:
    """The same ascent of one image by torch.optim.Adam, projected after each step."""
    point = nn.Parameter(clean.clone())
    optimizer = torch.optim.Adam([point], betas=(BETA_1, BETA_2), eps=TINY, maximize=True)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = step_size * (steps - step) / steps
        (slope,) = torch.autograd.grad(winding(point[None], torch.tensor([row])).sum(), point)
        point.grad = slope / slope.abs().mean()
        optimizer.step()
        with torch.no_grad():
            point.copy_(point.clamp(clean - EPS, clean + EPS).clamp(0, 1))
    return point.detach()


def images() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(8, *SHAPE, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("steps", [0, 1, 2, 19])
def test_equals_torchs_optimiser_image_by_image(steps: int) -> None:
    clean = images()
    found = adam(evaluate, clean, Ball.around(clean, EPS), steps=steps, step_size=2.5 * EPS)
    for row in range(8):
        expected = by_torch(clean[row], row, steps=steps, step_size=2.5 * EPS)
        torch.testing.assert_close(found[row], expected, rtol=0, atol=1e-9)


def test_an_images_path_does_not_depend_on_its_batch_nor_on_who_leaves() -> None:
    clean = images()
    ball = Ball.around(clean, EPS)
    whole = adam(evaluate, clean, ball, steps=12, step_size=2 * EPS)
    seen: dict[int, Tensor] = {}
    calls = 0

    def watched(points: Tensor, rows: Tensor, *, with_gradient: bool) -> tuple[Tensor, Tensor]:
        nonlocal calls
        calls += 1
        seen.update(zip(rows.tolist(), points, strict=True))
        return evaluate(points, rows, with_gradient=with_gradient)

    def odd_ones_leave_after_five(rows: Tensor) -> Tensor:
        return (rows % 2 == 1) if calls == 6 else torch.zeros_like(rows)

    mixed = adam(watched, clean, ball, steps=12, step_size=2 * EPS, done=odd_ones_leave_after_five)
    assert calls == 13
    assert torch.equal(mixed[::2], whole[::2])
    for row in range(1, 8, 2):
        assert torch.equal(mixed[row], seen[row])
        assert not torch.equal(mixed[row], whole[row])


def test_an_image_without_a_gradient_stays() -> None:
    clean = images()

    def flat(points: Tensor, rows: Tensor, *, with_gradient: bool) -> tuple[Tensor, Tensor]:
        return rows.double(), torch.zeros_like(points)

    found = adam(flat, clean, Ball.around(clean, EPS), steps=3, step_size=EPS)
    assert torch.equal(found, clean)
