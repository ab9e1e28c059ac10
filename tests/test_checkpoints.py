"""Other people's checkpoints: what is read, what is refused, and that the embeddings are theirs."""

import argparse
import os
import pickle
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from typer.testing import CliRunner

from benchbox.cli.weights import weights_app
from benchbox.errors import BenchboxError
from benchbox.models.checkpoints import container as container_module
from benchbox.models.checkpoints.accounting import load_tensors, own_names
from benchbox.models.checkpoints.reading import read_checkpoint
from benchbox.models.checkpoints.repositories import LAYOUTS
from benchbox.models.fitting import load_checkpoint
from benchbox.models.folding import attack_ready
from benchbox.models.inspecting import inspect_checkpoint
from benchbox.models.registry import build_model
from benchbox.models.resnets import VARIANTS
from tests.made_checkpoints import (
    ORACLES,
    AdvReidClassification,
    AdvReidTriplet,
    FastReid,
    FastReid2020,
    StrongBaseline,
    Torchreid,
    hollow,
    hollow_of,
    resnet50,
    saved,
    scrambled,
    shapes_of,
    transreid,
)

Write = Callable[[Path], Any]


def prefixed(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}{key}": tensor for key, tensor in state.items()}


def listed(name: str) -> dict[str, Tensor]:
    return hollow(shapes_of(name))


def optimizer_state() -> dict[str, Any]:
    """An Adam state as training leaves it."""
    layer = nn.Linear(2, 2)
    optimizer = torch.optim.Adam(layer.parameters())
    layer(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    return optimizer.state_dict()


def scheduler_state() -> dict[str, Any]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1)
    return torch.optim.lr_scheduler.MultiStepLR(optimizer, [40, 70]).state_dict()


@dataclass(frozen=True)
class Row:
    """A file as somebody writes it, and what it gives: a builder, or the error's words."""

    write: Write
    model: str = ""
    builder: str = ""
    says: tuple[str, ...] = ()
    identities: int | None = 751


READ: dict[str, Row] = {
    "strong-baseline, bare": Row(
        lambda path: saved(path, hollow_of(StrongBaseline())),
        "reid-strong-baseline resnet50, BNNeck",
        "strong_baseline_resnet50",
    ),
    "strong-baseline, DataParallel, model and optimizer": Row(
        lambda path: saved(
            path,
            {
                "model": prefixed("module.", hollow_of(StrongBaseline())),
                "optimizer": optimizer_state(),
            },
        ),
        "reid-strong-baseline resnet50, BNNeck",
        "strong_baseline_resnet50",
        ("'module.' taken off", "not used: optimizer"),
    ),
    "strong-baseline, no neck, torch before 1.6": Row(
        lambda path: saved(
            path,
            hollow_of(StrongBaseline(neck=False)),
            _use_new_zipfile_serialization=False,
        ),
        "reid-strong-baseline resnet50, no neck",
        "strong_baseline_resnet50_pooled",
        ("torch before 1.6",),
    ),
    "fast-reid BoT-R50": Row(
        lambda path: saved(
            path,
            {
                "model": listed("fastreid_bot_r50"),
                "optimizer": optimizer_state(),
                "scheduler": scheduler_state(),
                "iteration": 29099,
            },
        ),
        "fast-reid BoT-R50",
        "fastreid_resnet50",
        ("mean and std as the builder has them", "cosine distance, bicubic"),
    ),
    "fast-reid BoT-R50 of the model zoo": Row(
        lambda path: saved(path, {"model": hollow_of(FastReid2020())}),
        "fast-reid BoT-R50, model zoo of 2020",
        "fastreid_resnet50_2020",
    ),
    "torchreid resnet50, .pth.tar with a NumPy scalar": Row(
        lambda path: saved(
            path,
            {
                "state_dict": listed("torchreid_resnet50"),
                "epoch": 60,
                "rank1": np.float64(0.87),
                "optimizer": optimizer_state(),
                "scheduler": scheduler_state(),
            },
        ),
        "torchreid resnet50",
        "torchreid_resnet50",
        ("euclidean distance",),
    ),
    "torchreid resnet50, compiled, fp16": Row(
        lambda path: saved(
            path,
            {
                "model_state_dict": {
                    key: tensor.half() if tensor.is_floating_point() else tensor
                    for key, tensor in prefixed(
                        "_orig_mod.module.", listed("torchreid_resnet50")
                    ).items()
                }
            },
        ),
        "torchreid resnet50",
        "torchreid_resnet50",
        ("float16", "'_orig_mod.module.' taken off"),
    ),
    "torchreid resnet50_fc512, safetensors, bf16": Row(
        lambda path: save_file(
            {
                key: tensor.to(torch.bfloat16 if tensor.is_floating_point() else None).clone()
                for key, tensor in listed("torchreid_resnet50_fc512").items()
            },
            path,
        ),
        "torchreid resnet50_fc512",
        "torchreid_resnet50_fc512",
        ("safetensors", "bfloat16", "512 numbers"),
    ),
    "adv-reid Classification": Row(
        lambda path: saved(
            path,
            {
                "net": hollow_of(AdvReidClassification()),
                "map": np.float32(71.5),
                "epoch": 19,
                "optim": optimizer_state(),
            },
        ),
        "adv-reid Classification",
        "adv_reid_classification",
    ),
    "adv-reid Triplet": Row(
        lambda path: saved(path, {"net": hollow_of(AdvReidTriplet()), "map": 65.0}),
        "adv-reid Triplet",
        "adv_reid_triplet",
        ("256 numbers",),
        identities=None,
    ),
    "benchbox resnet50, bare": Row(
        lambda path: saved(path, hollow_of(build_model("resnet50", num_classes=751))),
        "benchbox resnet50",
        "resnet50",
    ),
}
"""Layouts that one of our builders computes."""

OWN = "builder of your own, file.py:function"

KNOWN: dict[str, Row] = {
    "torchreid OSNet": Row(
        lambda path: saved(path, {"state_dict": listed("torchreid_osnet_x1_0"), "epoch": 250}),
        "torchreid OSNet",
        says=("OSNet is not among our models", OWN),
    ),
    "torchreid resnet50_ibn_a": Row(
        lambda path: saved(path, listed("torchreid_resnet50_ibn_a")),
        "torchreid resnet50_ibn",
        says=("instance norms", OWN),
    ),
    "fast-reid SBS": Row(
        lambda path: saved(path, {"model": listed("fastreid_sbs_r50")}),
        "fast-reid ResNet with non-local blocks",
        says=("non-local blocks are not", OWN),
    ),
    "fast-reid BoT-R50-ibn": Row(
        lambda path: saved(path, {"model": listed("fastreid_bot_r50_ibn")}),
        "fast-reid ResNet with IBN",
        says=("instance norms", OWN),
    ),
    "fast-reid, 512 numbers": Row(
        lambda path: saved(path, {"model": listed("fastreid_bot_r50_embedding512")}),
        "fast-reid ResNet with a reduced embedding",
        says=("does not reduce the embedding", OWN),
    ),
    "TransReID": Row(lambda path: saved(path, transreid()), "TransReID", says=("camera ids", OWN)),
    "torchvision resnet50": Row(
        lambda path: saved(path, hollow_of(resnet50())),
        "ResNet of torchvision or timm",
        says=("starts a training", 'pretrained = "FILE"'),
        identities=1000,
    ),
    "benchbox, a backbone it does not tell": Row(
        lambda path: saved(path, build_model("small", num_classes=751).state_dict()),
        "benchbox, another backbone",
        says=("name the backbone",),
    ),
    "nobody's": Row(
        lambda path: saved(path, {"encoder.0.weight": torch.ones(3)}),
        says=("'encoder.0.weight'", "no repository we know", OWN),
        identities=None,
    ),
    "a tensor missing": Row(
        lambda path: saved(
            path,
            {
                key: tensor
                for key, tensor in listed("fastreid_bot_r50").items()
                if key != "backbone.layer4.2.bn3.running_var"
            },
        ),
        "fast-reid BoT-R50",
        says=(
            "1 of the model's 271 tensors are not in the file",
            "'backbone.layer4.2.bn3.running_var' (2048,)",
            "nearest: 'backbone.layer4.",
        ),
    ),
    "another shape": Row(
        lambda path: saved(
            path, listed("torchreid_resnet50") | {"layer1.0.conv1.weight": torch.ones(32, 64, 1, 1)}
        ),
        "torchreid resnet50",
        says=("'layer1.0.conv1.weight' has shape (32, 64, 1, 1)", "is (64, 64, 1, 1)"),
    ),
    "a tensor too many": Row(
        lambda path: saved(
            path, hollow_of(StrongBaseline()) | {"base.layer3.6.conv1.weight": torch.ones(1)}
        ),
        "reid-strong-baseline resnet50, BNNeck",
        says=("no place for 1", "'base.layer3.6.conv1.weight' (1,)", "another function"),
    ),
}
"""Layouts that are recognised, and what to do about them."""


class Code:
    """Writes a file where it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.marker}'",)


def truncated(path: Path) -> None:
    saved(path, {"weight": torch.ones(10_000)})
    path.write_bytes(path.read_bytes()[:20_000])


REFUSED: dict[str, tuple[Write, str]] = {
    "a pickle with code in it": (
        lambda path: saved(path, {"w": torch.ones(1), "x": Code(path.with_name("ran"))}),
        r"holds more than tensors \(posix.system\).*could run code.*torch.save\(model.state_dict",
    ),
    "the same, torch before 1.6": (
        lambda path: saved(path, Code(path.with_name("ran")), _use_new_zipfile_serialization=False),
        r"holds more than tensors \(posix.system\)",
    ),
    "a whole module": (
        lambda path: saved(path, nn.Linear(2, 2)),
        r"torch.nn.modules.linear.Linear.*state_dict\(\)",
    ),
    "argparse's namespace beside": (
        lambda path: saved(
            path, {"state_dict": {"w": torch.ones(1)}, "args": argparse.Namespace()}
        ),
        r"argparse.Namespace.*torch.save\(model.state_dict",
    ),
    "a NumPy array": (
        lambda path: saved(path, {"w": torch.ones(1), "x": np.ones(3)}),
        "numpy._core.multiarray._reconstruct|numpy.core.multiarray._reconstruct",
    ),
    "cut off": (truncated, "cut off or damaged. Fetch it again"),
    "cut off, safetensors": (
        lambda path: (
            save_file({"w": torch.ones(10_000)}, path),
            path.write_bytes(path.read_bytes()[:20_000]),
        ),
        "cut off or damaged",
    ),
    "a web page": (
        lambda path: path.write_text("\n<!DOCTYPE html><html>Sign in</html>"),
        "a web page, not weights",
    ),
    "a plain pickle": (
        lambda path: path.write_bytes(pickle.dumps({"w": [1.0]}, protocol=2)),
        "a plain pickle.*could run code",
    ),
    "TorchScript": (
        lambda path: torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2)), str(path)),
        r"a TorchScript archive, which holds code.*state_dict",
    ),
    "Git LFS": (
        lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
        "git lfs pull",
    ),
    "empty": (lambda path: path.write_bytes(b""), "an empty file"),
    "noise": (lambda path: path.write_bytes(b"\x07" * 4096), "not a weights file"),
    "not there": (lambda path: None, "cannot be read"),
    "a folder": (lambda path: path.mkdir(), "not a file"),
    "two models": (
        lambda path: saved(path, {"model": {"w": torch.ones(1)}, "net": {"w": torch.ones(1)}}),
        "two of them, under 'model' and 'net'",
    ),
    "no tensors": (lambda path: saved(path, {"epoch": 3, "lr": 0.1}), "found but 'epoch', 'lr'"),
    "pickle protocol 4": (
        lambda path: saved(path, {"w": torch.ones(1)}, pickle_protocol=4),
        r"without running code \(Unsupported operand 149\).*torch.save",
    ),
    "a list": (lambda path: saved(path, [torch.ones(1)]), "no state dict but a list"),
    "NaN": (lambda path: saved(path, {"w": torch.tensor([float("nan")])}), "'w' holds NaN"),
    "sparse": (lambda path: saved(path, {"w": torch.eye(3).to_sparse()}), "'w' is no dense tensor"),
    "complex": (lambda path: saved(path, {"w": torch.ones(1) * 1j}), "'w' is no dense tensor"),
    "a tensor that only claims its size": (
        lambda path: saved(path, {"w": torch.ones(1).expand(2**20, 2**20)}),
        "4096.0 GiB, 8 GiB at most",
    ),
}
"""Files that hold no tensors we may read."""


@pytest.mark.parametrize("name", READ)
def test_a_layout_gives_its_builder(tmp_path, name):
    row = READ[name]
    path = tmp_path / "model.pth"
    row.write(path)
    inspection = inspect_checkpoint(path)
    told = " | ".join(value for _, value in inspection.lines())
    assert (inspection.layout, inspection.problem) == (row.model, "")
    assert inspection.builders[0] == row.builder
    assert inspection.classes == row.identities
    assert all(text in told for text in row.says), told
    # Nothing is dropped in silence: each tensor of the file is loaded or left out for a reason.
    loading = inspection.loading
    accounted = [source for source, _ in loading.loaded] + [name for name, _ in loading.left_out]
    assert sorted(accounted) == sorted(inspection.tensors)
    assert all(why for _, why in loading.left_out)


@pytest.mark.parametrize("name", KNOWN)
def test_a_layout_that_does_not_fit_says_what_to_do(tmp_path, name):
    row = KNOWN[name]
    path = tmp_path / "model.pth"
    row.write(path)
    inspection = inspect_checkpoint(path)
    assert inspection.layout == row.model
    assert inspection.builders == ()
    assert inspection.classes == row.identities
    assert all(text in inspection.problem for text in row.says), inspection.problem
    with pytest.raises(BenchboxError) as error:
        load_checkpoint(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", REFUSED)
def test_what_holds_no_tensors_is_one_line(tmp_path, name):
    write, text = REFUSED[name]
    path = tmp_path / "model.pth"
    write(path)
    with pytest.raises(BenchboxError, match=text) as error:
        read_checkpoint(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500
    assert not (tmp_path / "ran").exists()


def test_a_file_larger_than_the_bound_is_not_read(tmp_path, monkeypatch):
    path = saved(tmp_path / "model.pth", {"w": torch.ones(10_000)})
    monkeypatch.setattr(container_module, "LARGEST", 10_000)
    with pytest.raises(BenchboxError, match="at most are read"):
        read_checkpoint(path)


def test_nothing_stays_allowed_after_reading(tmp_path):
    before = torch.serialization.get_safe_globals()
    path = saved(tmp_path / "model.pth", {"state_dict": {"w": torch.ones(1)}, "x": np.int64(3)})
    assert read_checkpoint(path).beside == ("x",)
    assert torch.serialization.get_safe_globals() == before
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)


@pytest.mark.parametrize("module", [b"numpy.core", b"numpy._core"])
@pytest.mark.parametrize("number", [np.float64(0.5), np.float32(2), np.int64(3), np.bool_(True)])
def test_numbers_of_either_numpy_may_stand_beside(tmp_path, module, number):
    """NumPy 2 renamed the module that a file names; most checkpoints are older."""
    path = saved(tmp_path / "model.pth", {"net": {"w": torch.ones(1)}, "map": number})
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            renamed = re.sub(rb"numpy\._?core(?=\.multiarray\n)", module, content)
            assert (renamed == content) == (not name.endswith("data.pkl") or module in content)
            archive.writestr(name, renamed)
    checkpoint = read_checkpoint(path)
    assert checkpoint.beside == ("map",)
    assert list(checkpoint.tensors) == ["w"]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_every_floating_type_becomes_float32(tmp_path, dtype):
    values = torch.tensor([0.5, -1.25, 3.0])
    path = saved(tmp_path / "model.pth", {"w": values.to(dtype), "n": torch.tensor(7)})
    tensors = read_checkpoint(path).tensors
    assert torch.equal(tensors["w"], values)
    assert tensors["w"].dtype == torch.float32
    assert tensors["n"].dtype == torch.int64


def test_a_prefix_that_some_names_bear_is_a_part_of_the_model(tmp_path):
    state = {"model.conv1.weight": torch.ones(1), "classifier.weight": torch.ones(1)}
    assert list(read_checkpoint(saved(tmp_path / "a.pth", state)).tensors) == list(state)
    both = saved(tmp_path / "b.pth", prefixed("module.model.", {"w": torch.ones(1)}))
    assert list(read_checkpoint(both).tensors) == ["w"]


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


def test_a_builder_of_another_repository_is_refused(tmp_path):
    path = saved(tmp_path / "model.pth", hollow_of(StrongBaseline()))
    with pytest.raises(BenchboxError, match="does not compute: use strong_baseline_resnet50 or"):
        load_checkpoint(path, builder="resnet50")
    with pytest.raises(BenchboxError, match=r"unknown builder 'torchreid_resnet'.*Did you mean"):
        load_checkpoint(path, builder="torchreid_resnet")


@pytest.mark.parametrize("backbone", ["small", "apnet"])
def test_a_model_that_benchbox_trained_comes_back_to_the_last_digit(tmp_path, backbone):
    model = scrambled(build_model(backbone, num_classes=5))
    path = saved(tmp_path / "model.pth", model.state_dict())
    loaded = load_checkpoint(path, builder=backbone)
    with torch.no_grad():
        assert torch.equal(loaded.model(images()), model(images()))


class Tiny(nn.Module):
    """Somebody's own model."""

    def __init__(self, *, classes: int | None) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        if classes is not None:
            self.classifier = nn.Linear(4, classes)


def test_own_names_load_into_the_repositorys_own_model(tmp_path):
    source = scrambled(Tiny(classes=7))
    path = saved(tmp_path / "model.pth", prefixed("module.", source.state_dict()))
    checkpoint = read_checkpoint(path)
    for model in (Tiny(classes=7), Tiny(classes=None), nn.DataParallel(Tiny(classes=None))):
        loading = load_tensors(model, checkpoint, own_names(model, checkpoint))
        bare = model.module if isinstance(model, nn.DataParallel) else model
        assert torch.equal(bare.conv.weight, source.conv.weight)
        assert torch.equal(bare.norm.running_var, source.norm.running_var)
        reasons = dict(loading.left_out)
        assert ("classifier.weight" in reasons) != hasattr(bare, "classifier")
        assert "norm.num_batches_tracked" in reasons


def test_another_number_of_identities_says_how_to_build(tmp_path):
    path = saved(tmp_path / "model.pth", Tiny(classes=7).state_dict())
    model, checkpoint = Tiny(classes=5), read_checkpoint(path)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    with pytest.raises(BenchboxError, match="Build it for 7 identities"):
        load_tensors(model, checkpoint, own_names(model, checkpoint))
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())


def test_every_builder_that_a_layout_names_exists():
    named = {builder for layout in LAYOUTS for builder in layout.builders}
    assert set(VARIANTS) <= named
    assert named - set(VARIANTS) == {"resnet50", "apnet"}
    assert all(bool(layout.builders) != bool(layout.instead) for layout in LAYOUTS)


def test_the_command_prints_what_a_file_is_and_every_tensors_fate(tmp_path):
    path = saved(tmp_path / "model.pth", {"net": hollow_of(AdvReidTriplet()), "map": 65.0})
    short = CliRunner().invoke(weights_app, ["inspect", str(path)], env={"COLUMNS": "300"})
    assert short.exit_code == 0, short.output
    for text in ("adv-reid Triplet", "under 'net'", "not used: map", "adv_reid_triplet"):
        assert text in short.output
    full = CliRunner().invoke(
        weights_app, ["inspect", str(path), "--tensors"], env={"COLUMNS": "300"}
    )
    lines = {line.split()[0]: line.split()[1:] for line in full.output.splitlines() if line.strip()}
    assert lines["backbone.conv1.weight"] == ["64×3×7×7", "trunk.conv1.weight"]
    assert lines["backbone.fc.2.bias"] == ["256", "head.2.bias"]
    assert lines["backbone.bn1.num_batches_tracked"][:2] == ["counts", "training"]


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
