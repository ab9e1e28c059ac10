"""Models of other libraries through benchbox, beside the same model called by hand.

The images by hand are opened, resized and normalised here, by Pillow and NumPy alone.
"""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from safetensors.torch import load_file

from attacks import FNA
from benchbox.data.reading import read_dataset
from benchbox.evaluating import Evaluation, evaluate
from benchbox.models.given import Given
from benchbox.models.given_building import build_given
from benchbox.torchvision_import import ensure_torchvision
from tests.micro import make_micro_dataset

SIE_VIT = """
import timm
import torch
from torch import nn


class SieViT(nn.Module):
    '''A ViT whose tokens are shifted by their camera's, as in TransReID (He et al. 2021).'''

    def __init__(self):
        super().__init__()
        self.vit = timm.create_model(
            "vit_tiny_patch16_224", pretrained=False, num_classes=0, img_size=(64, 32), depth=2
        )
        self.sie = nn.Parameter(torch.randn(3, 1, self.vit.embed_dim))

    def forward(self, images, camids):
        tokens = self.vit._pos_embed(self.vit.patch_embed(images))
        tokens = tokens + 3.0 * self.sie[camids]
        return self.vit.norm(self.vit.blocks(tokens))[:, 0]


def sie_vit():
    return SieViT()
"""

OSNET = """
from benchbox.models.given_building import build_given
from benchbox.torchvision_import import ensure_torchvision

ensure_torchvision()
from torchreid.reid.models import build_model


def osnet():
    return build_model("osnet_x0_25", num_classes=8, pretrained=False)
"""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    return make_micro_dataset(tmp_path_factory.mktemp("data") / "micro", test=3)


@pytest.fixture
def built(tmp_path, monkeypatch):
    """Return a function that writes a model's file and calls its builder, as its owner would."""

    def build(name: str, text: str):
        (tmp_path / f"file_of_{name}.py").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        module = __import__(f"file_of_{name}")
        torch.manual_seed(0)
        return getattr(module, name)

    yield build
    for name in [name for name in sys.modules if name.startswith("file_of_")]:
        del sys.modules[name]


def by_hand(dataset: Path, size: tuple[int, int], mean, std) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the queries as a model's own loader makes them, and their cameras from 0."""
    records = read_dataset(dataset, name="micro").query
    images = []
    for record in records:
        image = Image.open(record.path).convert("RGB")
        image = image.resize(size[::-1], Image.Resampling.BILINEAR)
        pixels = (np.asarray(image, np.float64) / 255 - np.array(mean)) / np.array(std)
        images.append(pixels.transpose(2, 0, 1))
    cameras = torch.tensor([record.camid - 1 for record in records])
    return torch.tensor(np.stack(images)).float(), cameras


def measured(dataset: Path, given: Given) -> tuple[Evaluation, torch.Tensor]:
    """Return an evaluation and the query embeddings it ranked by."""
    found = evaluate(
        given,
        f"path:{dataset}",
        attacks=["fna"],
        steps=2,
        data_root=dataset,
        console=Console(quiet=True),
    )
    cell = found.to_pandas().query("attack == 'none'")["cell"].iloc[0]
    return found, load_file(found._stage(cell, "embed") / "features.safetensors")["query"]


def test_a_vit_with_camera_embeddings_at_its_own_size_and_normalisation(dataset, built) -> None:
    mean, std = (0.5, 0.4, 0.6), (0.5, 0.25, 0.4)
    builder = built("sie_vit", SIE_VIT)
    model = builder().eval()
    given = Given(
        # Its weights are drawn from the fixed seed that builders are called with.
        builder=builder,
        image_size=(64, 32),
        mean=mean,
        std=std,
        cameras="camids",
    )
    found, embeddings = measured(dataset, given)
    images, cameras = by_hand(dataset, (64, 32), mean, std)
    with torch.no_grad():
        expected = model(images, cameras)
        elsewhere = model(images, (cameras + 1) % 3)
    assert embeddings.shape == (len(cameras), 192)
    assert (embeddings - expected).abs().max() < 1e-6
    # What the camera says is in it.
    assert (elsewhere - expected).abs().max() > 1e-2
    assert set(found.to_pandas()["attack"]) == {"none", "fna"}


def test_an_osnet_of_torchreid_at_256x128_with_imagenets_normalisation(dataset, built) -> None:
    ensure_torchvision()
    pytest.importorskip(
        "torchreid",
        reason="torchreid is not installed: pip install torchreid, with what it imports",
    )
    builder = built("osnet", OSNET)
    model = builder().eval()
    given = Given(builder=builder)
    _, embeddings = measured(dataset, given)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    images, _ = by_hand(dataset, (256, 128), mean, std)
    with torch.no_grad():
        expected = model(images)
    assert embeddings.shape == (len(images), 512)
    assert (embeddings - expected).abs().max() < 1e-6


@pytest.mark.parametrize("how", [{}, {"unit_length": True}, {"distance": "cosine"}])
def test_a_step_ascends_the_distance_that_ranks(how) -> None:
    """Oracle: the objective of the equation, on the model's own output, by autograd."""
    layers = torch.nn.Sequential(torch.nn.Conv2d(3, 6, 3), torch.nn.Flatten())
    given = Given(builder=lambda: layers, image_size=(8, 4), mean=None, std=None, **how)
    embed = build_given(given)
    images = torch.rand(6, 3, 8, 4, generator=torch.Generator().manual_seed(0))
    pids = torch.tensor([1, 1, 2, 2, 3, 3])

    def ranked(images: torch.Tensor) -> torch.Tensor:
        output = layers(images)
        return output / output.norm(dim=1, keepdim=True) if how else output

    with torch.no_grad():
        clean = ranked(images)
    centroids = torch.stack([clean[pids == pid].mean(0) for pid in (1, 2, 3)])
    point = images.clone().requires_grad_()
    moved = ranked(point)
    total = torch.zeros(())
    for row, pid in enumerate(pids):
        same = clean[pids == pid]
        far = (centroids - clean[row]).square().sum(1)
        far[pid - 1] = -1
        total = total + (moved[row] - same).square().sum()
        total = total - (moved[row] - centroids[far.argmax()]).square().sum()
    (gradient,) = torch.autograd.grad(total, point)
    expected = (images + gradient.sign() / 255).clamp(0, 1)
    attack = FNA(steps=1)
    found = attack(embed, images, attack.guides(clean, pids))
    assert torch.allclose(found, expected, atol=1e-7)
