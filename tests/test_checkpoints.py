"""Other people's checkpoints: what is read, what is refused, what becomes of every tensor."""

import pickle
import re
import zipfile

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from benchbox.cli.weights import weights_app
from benchbox.errors import BenchboxError
from benchbox.models.checkpoints import container as container_module
from benchbox.models.checkpoints import read_checkpoint
from benchbox.models.checkpoints.repositories import LAYOUTS
from benchbox.models.fitting import load_checkpoint, load_into
from benchbox.models.inspecting import inspect_checkpoint
from benchbox.models.resnets import VARIANTS
from tests.made_broken_checkpoints import REFUSED
from tests.made_checkpoints import AdvReidTriplet, StrongBaseline, hollow_of, saved, scrambled
from tests.made_layouts import KNOWN, READ, prefixed


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
    before = set(torch.serialization.get_safe_globals())
    path = saved(tmp_path / "model.pth", {"state_dict": {"w": torch.ones(1)}, "x": np.int64(3)})
    assert read_checkpoint(path).beside == ("x",)
    assert set(torch.serialization.get_safe_globals()) == before
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


def test_a_builder_of_another_repository_is_refused(tmp_path):
    path = saved(tmp_path / "model.pth", hollow_of(StrongBaseline()))
    with pytest.raises(BenchboxError, match="does not compute: use strong_baseline_resnet50 or"):
        load_checkpoint(path, builder="resnet50")
    with pytest.raises(BenchboxError, match=r"unknown builder 'torchreid_resnet'.*Did you mean"):
        load_checkpoint(path, builder="torchreid_resnet")


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
    for model in (Tiny(classes=7), Tiny(classes=None), nn.DataParallel(Tiny(classes=None))):
        loading = load_into(model, path)
        bare = model.module if isinstance(model, nn.DataParallel) else model
        assert torch.equal(bare.conv.weight, source.conv.weight)
        assert torch.equal(bare.norm.running_var, source.norm.running_var)
        reasons = dict(loading.left_out)
        assert ("classifier.weight" in reasons) != hasattr(bare, "classifier")
        assert "norm.num_batches_tracked" in reasons


def test_another_number_of_identities_says_how_to_build(tmp_path):
    path = saved(tmp_path / "model.pth", Tiny(classes=7).state_dict())
    model = Tiny(classes=5)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    with pytest.raises(BenchboxError, match="Build it for 7 identities"):
        load_into(model, path)
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
