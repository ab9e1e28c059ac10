"""Purification against a denoiser that is known exactly, and in a run that trains its own model."""

import csv
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from benchbox.errors import BenchboxError
from benchbox.models.weights import save_weights
from benchbox.runs.grid_file import read_grid
from benchbox.runs.plan import make_plan
from benchbox.runs.registry import load_registry
from defenses import Purification
from defenses.ddd.balancing import Balancing
from defenses.purification import Purifier
from tests.micro import make_micro_dataset
from tests.test_ddd_diffusion import MINIATURE, unet
from tests.test_run import benchbox

GAUSSIAN = 0.5
"""σ_data: of images that are N(0, σ_data²), pixel by pixel."""
SETTINGS = Purification(
    sigma=0.8, steps=4, balancing=Balancing(diffusion=replace(MINIATURE, sigma_data=GAUSSIAN))
)


@dataclass
class Zero:
    """F_θ = 0, with which EDM's D(y; σ) = σ_d² y / (σ² + σ_d²): exact for Gaussian images."""

    size: tuple[int, int] = (16, 8)
    nobody: int = 4
    cameras: tuple[int, ...] = ()

    @property
    def camera(self) -> SimpleNamespace:
        return SimpleNamespace(weight=torch.zeros(3, 8))

    def __call__(self, images: Tensor, level: Tensor, identity: Tensor, camera: Tensor) -> Tensor:
        assert (identity == self.nobody).all()
        self.cameras += tuple(camera.tolist())
        return 0 * images


def test_the_way_back_is_the_flow_of_gaussian_images() -> None:
    # dy/dσ = (y − D) / σ = σ y / (σ² + σ_d²), so y(0) = y(σ) σ_d / √(σ² + σ_d²).
    noisy = torch.randn(2, 3, 16, 8, dtype=torch.float64)
    exact = noisy * GAUSSIAN / (0.8**2 + GAUSSIAN**2) ** 0.5
    errors = [
        (Purifier(Zero(), replace(SETTINGS, steps=steps)).way_back(noisy) - exact).abs().max()
        for steps in (4, 16, 64)
    ]
    assert errors[0] > 2 * errors[1] > 4 * errors[2]
    assert errors[2] < 0.03
    many, model = torch.randn(300, 3, 16, 8), Zero()
    Purifier(model, SETTINGS).way_back(many)
    counts = torch.bincount(torch.tensor(model.cameras[:300]), minlength=3)
    assert counts.min() > 60, "a camera is drawn for each image"


@pytest.mark.parametrize("factor", [1, 2])
def test_an_image_is_shrunk_drowned_and_brought_back(factor: int) -> None:
    images = torch.rand(3, 3, 16 * factor, 8 * factor)
    guard = Purifier(Zero(), SETTINGS)
    torch.manual_seed(4)
    made = guard(images)
    torch.manual_seed(4)
    small = 2 * F.interpolate(images, (16, 8), mode="area") - 1
    back = guard.way_back(small + 0.8 * torch.randn(3, 3, 16, 8))
    large = F.interpolate(back, images.shape[2:], mode="bilinear")
    torch.testing.assert_close(made, ((large + 1) / 2).clamp(0, 1), rtol=0, atol=1e-5)
    assert not torch.equal(guard(images), made)


def stored(folder: Path) -> Path:
    model = unet(SETTINGS.balancing.diffusion).eval()
    save_weights(model, folder / "diffusion.safetensors", metadata={"made": "here"})
    return folder


def test_its_gradient_is_the_full_one_or_the_identity(tmp_path: Path) -> None:
    settings = replace(SETTINGS, steps=2, sigma=0.1)
    place = {"size": (16, 8), "device": torch.device("cpu")}
    guard = settings.ready(stored(tmp_path), **place)
    guard.model.double()
    guard.model.stretch.data = guard.model.stretch.double()
    images = (0.3 + 0.4 * torch.rand(1, 3, 16, 8, dtype=torch.float64)).requires_grad_()
    weight = torch.randn(images.shape, dtype=torch.float64)

    def value(points: Tensor) -> Tensor:
        torch.manual_seed(2)
        return (guard(points) * weight).sum()

    (gradient,) = torch.autograd.grad(value(images), images)
    step = 1e-3
    for pixel in [(0, 0, 3, 2), (0, 2, 12, 7)]:
        moved = [images.detach().clone() for _ in range(2)]
        moved[0][pixel] += step
        moved[1][pixel] -= step
        slope = (value(moved[0]) - value(moved[1])).item() / (2 * step)
        assert gradient[pixel].item() == pytest.approx(slope, rel=0.02, abs=2e-3)
    straight = replace(settings, backward="straight_through").ready(tmp_path, **place)
    leaf = images.detach().float().requires_grad_()
    (straight(leaf) * weight.float()).sum().backward()
    assert torch.equal(leaf.grad, weight.float())
    torch.manual_seed(2)
    first = straight(leaf.detach())
    torch.manual_seed(2)
    same = settings.ready(tmp_path, **place)(leaf.detach())
    torch.testing.assert_close(first, same, rtol=0, atol=1e-6)


def test_values_out_of_range_and_a_guard_without_its_model_are_refused() -> None:
    with pytest.raises(BenchboxError, match="unknown backward 'none'"):
        Purification(backward="none")
    with pytest.raises(BenchboxError, match=r"sigma above 0\.002 and up to 80"):
        Purification(sigma=100.0)
    with pytest.raises(BenchboxError, match="its diffusion model is made by a run"):
        Purification()(torch.rand(1, 3, 16, 8))


GRID = """
name = "purified"
datasets = ["path:{dataset}"]
backbones = ["small"]
pretrained = false
image_size = [32, 16]
defenses = {names}
attacks = ["smooth_ap"]
budgets = ["8/255"]
steps = 1
[training]
epochs = 1
batch_identities = 4
augmentation = {{ pad = 1 }}
[guard.purification]
steps = 1
"""
BALANCING = """
at_most = 2
[{table}.diffusion]
max_height = 16
channels = [8, 16]
layers = 1
attention = 1
steps = 6
batch_size = 4
sampler_steps = 2
precision = "fp32"
"""


def written(dataset: Path, names: list[str], *tables: str) -> Path:
    """Write a grid whose ``tables`` say how the diffusion model is made."""
    text = GRID.format(dataset=dataset, names=str(names).replace("'", '"'))
    file = dataset.parent / "g.toml"
    file.write_text(text + "".join(f"[{table}]{BALANCING.format(table=table)}" for table in tables))
    return file


def test_it_shares_its_diffusion_model_with_ddd(tmp_path: Path) -> None:
    tables = ("guard.purification.balancing", "recipe.ddd.balancing")
    file = written(tmp_path / "any", ["ddd", "purification"], *tables)
    registry = load_registry()
    grid = read_grid(file, registry)
    plan = make_plan(grid, registry, dict.fromkeys(grid.datasets, "0" * 64), where="g.toml")
    prepared = [stage for stage in plan.stages if stage.kind == "prepare"]
    assert len(prepared) == 1
    purified = [stage for stage in plan.stages if stage.kind == "embed" and stage.prepared]
    assert [stage.prepared.key for stage in purified] == [prepared[0].key]


def test_a_run_trains_the_model_and_attacks_through_it(tmp_path: Path) -> None:
    dataset = make_micro_dataset(tmp_path / "micro", train=4, test=2)
    file = written(dataset, ["purification"], "guard.purification.balancing")
    done = benchbox("run", file, "--out", tmp_path / "out", "--workers", 1)
    assert done.returncode == 0, done.stderr
    with (tmp_path / "out" / "results.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["attack"] for row in rows] == ["none", "smooth_ap"]
    assert all(0 <= float(row["mAP"]) <= 100 for row in rows)
    (counts,) = (tmp_path / "out").rglob("counts.json")
    assert '"draws": 8' in counts.read_text()
