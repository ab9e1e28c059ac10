"""ResNet-50s of public repositories: benchbox's embeddings are those of their own models."""

import numpy as np
import pytest
import torch
from torch import Tensor

from benchbox.models.fitting import load_checkpoint
from benchbox.models.folding import attack_ready
from benchbox.models.registry import build_model
from benchbox.models.resnets import VARIANTS
from tests.made_checkpoints import (
    MEAN,
    ORACLES,
    STD,
    FastReid,
    Torchreid,
    body,
    pooled,
    saved,
    scrambled,
    shapes_of,
)


@pytest.mark.parametrize(
    ("oracle", "package"),
    [
        (FastReid, "fastreid_bot_r50"),
        (Torchreid, "torchreid_resnet50"),
        (lambda: Torchreid(fc512=True), "torchreid_resnet50_fc512"),
    ],
)
def test_the_models_written_out_anew_have_the_packages_names_and_shapes(oracle, package):
    ours = {key: tuple(tensor.shape) for key, tensor in oracle().state_dict().items()}
    assert ours == shapes_of(package)


def images(height: int = 65, width: int = 31) -> Tensor:
    """Of an odd size, where paddings that agree on even sizes part."""
    return torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("builder", VARIANTS)
def test_embeddings_equal_the_repositorys_own(tmp_path, builder):
    oracle = scrambled(ORACLES[builder]())
    path = saved(tmp_path / "model.pth", oracle.state_dict())
    loaded = load_checkpoint(path, builder=builder)
    with torch.no_grad():
        expected = oracle(images())
        size = float(expected.abs().max())
        torch.testing.assert_close(
            loaded.model(images()) / size, expected / size, rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize(
    ("builder", "other"),
    [
        ("strong_baseline_resnet50", "strong_baseline_resnet50_pooled"),
        ("fastreid_resnet50", "fastreid_resnet50_2020"),
        ("fastreid_resnet50_2020", "fastreid_resnet50"),
    ],
)
def test_the_other_builder_of_a_layout_computes_another_function(tmp_path, builder, other):
    oracle = scrambled(ORACLES[builder]())
    path = saved(tmp_path / "model.pth", oracle.state_dict())
    with torch.no_grad():
        right = load_checkpoint(path).model(images())
        wrong = load_checkpoint(path, builder=other).model(images())
    assert float((right - wrong).abs().max()) > 0.01 * float(right.abs().max())


@pytest.mark.parametrize("backbone", ["small", "apnet"])
def test_a_model_that_benchbox_trained_comes_back_to_the_last_digit(tmp_path, backbone):
    model = scrambled(build_model(backbone, num_classes=5))
    path = saved(tmp_path / "model.pth", model.state_dict())
    loaded = load_checkpoint(path, builder=backbone)
    with torch.no_grad():
        assert torch.equal(loaded.model(images()), model(images()))


def test_attacks_take_a_loaded_model(tmp_path):
    """Folding sees a stem without ReLU and a pooling without padding as they are."""
    for builder in ("strong_baseline_resnet50", "fastreid_resnet50"):
        path = saved(tmp_path / "model.pth", scrambled(ORACLES[builder]()).state_dict())
        model = load_checkpoint(path).model
        pixels = images().requires_grad_()
        embeddings = attack_ready(model)(pixels)
        expected = model(images()).detach()
        size = float(expected.abs().max())
        torch.testing.assert_close(embeddings / size, expected / size, rtol=1e-4, atol=1e-5)
        embeddings.square().sum().backward()
        assert bool(pixels.grad.abs().sum() > 0)


def test_a_trunk_takes_torchvisions_weights_out_of_a_training_checkpoint(tmp_path):
    source = scrambled(body(last_stride=1))
    content = {
        "state_dict": {f"module.{key}": value for key, value in source.state_dict().items()},
        "epoch": 90,
        "best_acc1": np.float32(76.1),
    }
    path = saved(tmp_path / "checkpoint.pth.tar", content)
    model = build_model("resnet50", num_classes=3, pretrained=path).eval()
    with torch.no_grad():
        expected = pooled(source, (images() - MEAN) / STD)
        size = float(expected.abs().max())
        torch.testing.assert_close(
            model.pool(images()) / size, expected / size, rtol=1e-5, atol=1e-5
        )
