"""JPEG, total variation and random resizing, against Pillow, a general solver and plain loops."""

from io import BytesIO

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from scipy.optimize import minimize
from torch import Tensor

from attacks.randomised import DRAWS, draws_of
from benchbox.errors import BenchboxError
from defenses import Jpeg, RandomResizePad, TotalVariation
from defenses.total_variation import rebuild


def pictures(count: int = 3, height: int = 24, width: int = 12) -> Tensor:
    """Two flat colours and some noise, in 8 bits."""
    draw = torch.Generator().manual_seed(3)
    colours = torch.rand(count, 3, 2, 1, generator=draw).repeat_interleave(height // 2, 2)
    noise = 0.04 * torch.randn(count, 3, height, width, generator=draw)
    return ((colours + noise).clamp(0, 1) * 255).round() / 255


def test_jpeg_is_pillows_and_its_gradient_the_identity() -> None:
    images = pictures().requires_grad_()
    made = Jpeg(quality=40)(images)
    for image, ours in zip(images.detach(), made.detach(), strict=True):
        stream = BytesIO()
        pixels = (image * 255).byte().permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(stream, "JPEG", quality=40)
        theirs = np.array(Image.open(BytesIO(stream.getvalue())))
        assert torch.equal((ours * 255).round().byte(), torch.from_numpy(theirs).permute(2, 0, 1))
    weight = torch.randn(images.shape)
    (made * weight).sum().backward()
    assert torch.equal(images.grad, weight)
    with pytest.raises(BenchboxError, match="a quality from 1 to 100, got 0"):
        Jpeg(quality=0)


def total_variation(image: np.ndarray) -> float:
    total = 0.0
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            down = image[row + 1, column] - image[row, column] if row + 1 < len(image) else 0.0
            inner = column + 1 < image.shape[1]
            across = image[row, column + 1] - image[row, column] if inner else 0.0
            total += float(np.hypot(down, across))
    return total


def smooth_problem(clean: np.ndarray, kept: np.ndarray, weight: float, corner: float = 1e-5):
    """The objective with corners rounded, and its gradient, for a general solver."""

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        image = flat.reshape(clean.shape)
        down, across = np.zeros_like(image), np.zeros_like(image)
        down[:-1], across[:, :-1] = np.diff(image, axis=0), np.diff(image, axis=1)
        length = np.sqrt(down**2 + across**2 + corner**2)
        gradient = 2 * kept * (image - clean)
        for way, axis in ((weight * down / length, 0), (weight * across / length, 1)):
            gradient -= way
            gradient += np.roll(way, 1, axis)  # the last row and column of `way` are 0
        value = (kept * (image - clean) ** 2).sum() + weight * length.sum()
        return value, gradient.ravel()

    return objective


@pytest.mark.parametrize("drop", [0.0, 0.5])
def test_total_variation_reaches_the_minimum_of_a_general_solver(drop: float) -> None:
    images = pictures(1, 16, 10)
    kept = (torch.rand(images.shape, generator=torch.Generator().manual_seed(1)) >= drop).float()
    made = rebuild(images, kept, weight=0.03, iterations=100)

    def objective(image: np.ndarray, clean: np.ndarray, mask: np.ndarray) -> float:
        return float((mask * (image - clean) ** 2).sum()) + 0.03 * total_variation(image)

    for channel in range(3):
        clean, mask, ours = (part[0, channel].double().numpy() for part in (images, kept, made))
        start = np.where(mask > 0, clean, (mask * clean).sum() / mask.sum())
        solved = minimize(
            smooth_problem(clean, mask, 0.03),
            start.ravel(),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": 3000, "maxfun": 10_000},
        )
        best = objective(solved.x.reshape(clean.shape), clean, mask)
        assert objective(ours, clean, mask) < 1.01 * best
        assert objective(start, clean, mask) > 1.1 * best


def test_a_dropped_pixel_says_nothing_and_the_gradient_passes_straight_through() -> None:
    images, other = pictures(), pictures()
    kept = (torch.rand(images.shape) >= 0.5).float()
    other[kept == 0] = 1 - other[kept == 0]
    first, second = (rebuild(x, kept, weight=0.03, iterations=30) for x in (images, other))
    assert torch.equal(first, second)
    leaf = images.clone().requires_grad_()
    weight = torch.randn(images.shape)
    (TotalVariation()(leaf) * weight).sum().backward()
    assert torch.equal(leaf.grad, weight)
    flat = torch.full((1, 3, 8, 8), 0.25)
    torch.testing.assert_close(TotalVariation()(flat), flat)
    with pytest.raises(BenchboxError, match=r"drop in \[0, 1\)"):
        TotalVariation(drop=1.0)


def test_an_image_is_shrunk_by_nearest_neighbours_and_placed_on_black() -> None:
    images = pictures(60, 24, 12) * 0.9 + 0.1  # never black itself
    guard = RandomResizePad(least=0.6)
    made = guard(images)
    sizes, places = set(), set()
    for image, after in zip(images, made, strict=True):
        rows, columns = (after.sum((0, 2)) > 0).nonzero(), (after.sum((0, 1)) > 0).nonzero()
        top, left = int(rows[0]), int(columns[0])
        height, width = len(rows), len(columns)
        expected = torch.zeros_like(image)
        for row in range(height):
            for column in range(width):
                source = image[:, row * 24 // height, column * 12 // width]
                expected[:, top + row, left + column] = source
        assert torch.equal(after, expected)
        if 24 % height == 0 and 12 % width == 0:
            peer = F.interpolate(image[None], (height, width), mode="nearest")[0]
            assert torch.equal(after[:, top : top + height, left : left + width], peer)
        assert abs(height / 24 - width / 12) <= 1 / 24 + 1 / 12
        sizes.add(height)
        places.add((top, left))
    assert sizes <= set(range(14, 25))
    assert len(sizes) > 7
    assert len(places) > 15


def test_the_gradient_of_the_placed_image_is_exact() -> None:
    images = pictures(2, 6, 4).double().requires_grad_()
    torch.manual_seed(5)
    made = RandomResizePad(least=0.5)(images)
    weight = torch.randn(made.shape, dtype=torch.float64)
    (made * weight).sum().backward()
    for place in [(0, 0, 2, 1), (1, 2, 5, 3), (1, 1, 0, 0)]:
        moved = images.detach().clone()
        moved[place] += 0.125
        torch.manual_seed(5)
        change = ((RandomResizePad(least=0.5)(moved) - made) * weight).sum().item() / 0.125
        assert images.grad[place].item() == pytest.approx(change, abs=1e-9)


@pytest.mark.parametrize("guard", [TotalVariation(iterations=5), RandomResizePad(), Jpeg()])
def test_random_guards_are_met_by_several_draws(guard) -> None:
    images = pictures(8)
    wanted = 1 if isinstance(guard, Jpeg) else DRAWS
    assert draws_of(lambda x: guard(x).flatten(1), images) == wanted


def test_a_share_out_of_range_is_refused() -> None:
    with pytest.raises(BenchboxError, match=r"least in \(0, 1\]"):
        RandomResizePad(least=0.0)
