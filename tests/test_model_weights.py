"""Weights files, pretrained weights and the torchvision import: round trips and refusals."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import nn

from benchbox.errors import BenchboxError
from benchbox.models import pretrained as pretrained_module
from benchbox.models.registry import build_model
from benchbox.models.reid import ReidModel
from benchbox.models.weights import FORMAT, load_weights, save_weights
from benchbox.torchvision_import import ensure_torchvision

ensure_torchvision()
import timm  # noqa: E402

SIZE = (64, 32)


def small_model(**options) -> ReidModel:
    return build_model("small", **{"num_classes": 5, "image_size": SIZE} | options)


def batch() -> torch.Tensor:
    return torch.rand(2, 3, *SIZE, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def saved(tmp_path) -> Path:
    path = tmp_path / "weights.safetensors"
    save_weights(small_model(seed=1), path, metadata={"recipe": "vanilla", "seed": "1"})
    return path


def resave(path: Path, change) -> None:
    """Rewrite a weights file with changed tensors and a header of the right form."""
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={FORMAT: '{"digest": "", "metadata": {}}'})


# Our weights files ----------------------------------------------------------------------------


def test_round_trip_is_exact_and_returns_the_metadata(saved):
    source, model = small_model(seed=1).eval(), small_model(seed=2).eval()
    assert not torch.equal(source(batch()), model(batch()))
    assert load_weights(model, saved) == {"recipe": "vanilla", "seed": "1"}
    assert torch.equal(source(batch()), model(batch()))
    for name, value in source.state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name


def test_the_file_carries_the_normalisation(saved):
    model = small_model()
    model.mean.zero_()
    load_weights(model, saved)
    assert torch.equal(model.mean, small_model().mean)


def test_same_weights_same_bytes(tmp_path):
    metadata = {key: key for key in "qwertyuiop"}
    contents = set()
    for number in range(4):
        path = tmp_path / f"{number}.safetensors"
        save_weights(small_model(), path, metadata=dict(reversed(metadata.items())))
        contents.add(path.read_bytes())
        metadata = dict(reversed(metadata.items()))
    assert len(contents) == 1


def test_loads_into_a_wider_type_only(saved, tmp_path):
    double = small_model(seed=2).double()
    load_weights(double, saved)
    assert double.neck.weight.dtype == torch.float64
    weight = small_model(seed=1).classifier.weight
    assert torch.equal(double.classifier.weight, weight.double())
    wide = tmp_path / "double.safetensors"
    save_weights(double, wide, metadata={})
    with pytest.raises(BenchboxError, match="float64"):
        load_weights(small_model(), wide)


def test_tied_weights_are_written_twice(tmp_path):
    tied = nn.ModuleDict({"a": nn.Linear(2, 2)})
    tied["b"] = tied["a"]
    save_weights(tied, tmp_path / "tied.safetensors", metadata={})
    load_weights(tied, tmp_path / "tied.safetensors")


def refuse_unchanged(path: Path, *expected: str) -> None:
    """Loading must fail with a message that names the file, and leave the model as it was."""
    model = small_model(seed=9)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(BenchboxError) as error:
        load_weights(model, path)
    message = str(error.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    for text in expected:
        assert text in message
    assert error.value.exit_code == 2
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_refuses_a_missing_file(tmp_path):
    refuse_unchanged(tmp_path / "nowhere.safetensors", "no such")


def test_refuses_other_shapes(saved):
    save_weights(small_model(num_classes=6), saved, metadata={})
    refuse_unchanged(saved, "'classifier.weight'", "(6, 96)", "(5, 96)")


def test_refuses_extra_and_missing_names(saved):
    def rename(tensors):
        tensors["neck.gain"] = tensors.pop("neck.weight")

    resave(saved, rename)
    refuse_unchanged(saved, "missing 'neck.weight'", "unexpected 'neck.gain'")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_refuses_non_finite_values_on_both_ways(saved, value):
    def spoil(tensors):
        tensors["neck.weight"][3] = value

    resave(saved, spoil)
    refuse_unchanged(saved, "'neck.weight'", "NaN")
    model = small_model()
    with torch.no_grad():
        model.neck.weight[0] = value
    content = saved.read_bytes()
    with pytest.raises(BenchboxError, match=r"neck\.weight"):
        save_weights(model, saved, metadata={})
    assert saved.read_bytes() == content


def test_refuses_integers_where_floats_belong(saved):
    resave(saved, lambda tensors: tensors.update({"neck.weight": torch.ones(96).int()}))
    refuse_unchanged(saved, "'neck.weight'", "int32")


class Bomb:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return (Path.touch, (self.target,))


def test_never_reads_a_pickle(tmp_path):
    path, target = tmp_path / "weights.safetensors", tmp_path / "exploded"
    path.write_bytes(pickle.dumps(Bomb(target)))
    refuse_unchanged(path, "not a safetensors file")
    with pytest.raises(BenchboxError):
        small_model(pretrained=path)
    torch.save({"conv1.0.weight": Bomb(target)}, tmp_path / "weights.pth")
    with pytest.raises(BenchboxError, match="could run code"):
        small_model(pretrained=tmp_path / "weights.pth")
    assert not target.exists()


def test_refuses_a_foreign_safetensors_file(saved):
    save_file(load_file(saved), saved)
    refuse_unchanged(saved, FORMAT, "pretrained")


def test_refuses_content_that_is_not_what_was_saved(saved):
    def nudge(tensors):
        tensors["neck.weight"][3] += 1e-6

    original, tensors = saved.read_bytes(), load_file(saved)
    start = original.index(tensors["classifier.weight"].numpy().tobytes())
    spoilt = bytearray(original)
    spoilt[start] ^= 1  # the last bit of one weight
    saved.write_bytes(bytes(spoilt))
    refuse_unchanged(saved, "digest")
    saved.write_bytes(original.replace(b"vanilla", b"Vanilla"))
    refuse_unchanged(saved, "digest")
    resave(saved, nudge)
    refuse_unchanged(saved, "digest")


@pytest.mark.parametrize("entry", ["{", "[1]", "{}", '{"digest": "", "metadata": 3}'])
def test_refuses_a_spoilt_header_entry(saved, entry):
    save_file(load_file(saved), saved, metadata={FORMAT: entry})
    refuse_unchanged(saved, "header")


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_any_truncation_or_broken_byte_is_refused(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    model = nn.Linear(3, 2)
    save_weights(model, path, metadata={"a": "b"})
    content = path.read_bytes()
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(BenchboxError):
        load_weights(model, path)
    position = data.draw(st.integers(0, len(content) - 1))
    spoilt = bytearray(content)
    spoilt[position] = data.draw(st.integers(0, 255))
    # Blanks may stand for one another in the header.
    assume(bytes(spoilt).split() != content.split())
    path.write_bytes(bytes(spoilt))
    with pytest.raises(BenchboxError):
        load_weights(model, path)


def test_an_unwritable_folder_is_one_clear_error(tmp_path):
    blocker = tmp_path / "file"
    blocker.write_text("")
    with pytest.raises(BenchboxError, match="cannot be written"):
        save_weights(small_model(), blocker / "weights.safetensors", metadata={})


# Pretrained weights ---------------------------------------------------------------------------


def timm_model(name: str, **options) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(77)
        return timm.create_model(name, **options).eval()


@pytest.mark.parametrize(
    "name", ["test_resnet", "test_vit", "test_convnext", "test_efficientnet", "test_mambaout"]
)
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_local_file_gives_timms_own_features(tmp_path, name, suffix):
    source = timm_model(name)
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        state = {f"module.{key}": value for key, value in source.state_dict().items()}
        torch.save({"state_dict": state}, path)
    else:
        save_file({k: v.contiguous() for k, v in source.state_dict().items()}, path)
    model = build_model(name, num_classes=3, pretrained=path).eval()
    size = source.pretrained_cfg["input_size"][1:]
    images = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        normalised = (images - model.mean) / model.std
        expected = source.forward_head(source.forward_features(normalised), pre_logits=True)
        torch.testing.assert_close(model.pool(images), expected)


@pytest.mark.parametrize("classes", [0, 7])
def test_the_files_own_classifier_does_not_matter(tmp_path, classes):
    source = timm_model("test_resnet", num_classes=classes)
    path = tmp_path / "weights.safetensors"
    save_file(source.state_dict(), path)
    trunk = small_model(pretrained=str(path)).trunk.state_dict()
    for name, value in trunk.items():
        assert torch.equal(value, source.state_dict()[name]), name


def test_apnet_takes_resnet50_weights_and_keeps_its_pyramids(tmp_path):
    source = timm_model("resnet50")
    path = tmp_path / "resnet50.pth"
    torch.save(source.state_dict(), path)
    trunk = build_model("apnet", num_classes=2, pretrained=path, image_size=SIZE).trunk
    assert torch.equal(trunk.stem[0].weight, source.conv1.weight)
    assert torch.equal(trunk.stages[3][0][2].conv3.weight, source.layer4[2].conv3.weight)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda state: state.pop("layer1.0.conv1.weight"), "layer1.0.conv1.weight"),
        (lambda state: state.update(extra=torch.ones(1)), "extra"),
        (lambda state: state.update({"bn1.weight": torch.ones(3)}), "bn1.weight"),
        (lambda state: state["bn1.weight"].fill_(float("nan")), "bn1.weight"),
    ],
)
def test_a_wrong_file_names_the_key(tmp_path, change, text):
    path = tmp_path / "weights.safetensors"
    state = {key: value.clone() for key, value in timm_model("test_resnet").state_dict().items()}
    change(state)
    save_file(state, path)
    with pytest.raises(BenchboxError, match=text) as error:
        small_model(pretrained=path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_another_models_file_is_refused(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file(timm_model("test_vit").state_dict(), path)
    with pytest.raises(BenchboxError, match="test_resnet"):
        small_model(pretrained=path)


@pytest.mark.parametrize(
    "content",
    [b"", b"no weights", pickle.dumps([1, 2], protocol=2), pickle.dumps({"a": 1}, protocol=2)],
)
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_file_without_weights_is_refused(tmp_path, content, suffix):
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    with pytest.raises(BenchboxError) as error:
        small_model(pretrained=path)
    assert str(path) in str(error.value)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(BenchboxError, match="no such file"):
        small_model(pretrained=tmp_path / "nowhere.safetensors")


def test_offline_without_weights_is_one_clear_error(monkeypatch):
    def unreachable(url, *, timeout):
        assert timeout <= 10
        raise ConnectionError(f"{url}: Name or service not known\n" + "trace " * 500)

    def download(*_args, **_options):
        pytest.fail("the client that retries for a minute was called")

    hub = pretrained_module.huggingface_hub
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda *_args, **_options: None)
    monkeypatch.setattr(hub, "get_hf_file_metadata", unreachable)
    monkeypatch.setattr(hub, "hf_hub_download", download)
    with pytest.raises(BenchboxError) as error:
        build_model("resnet50", num_classes=2, pretrained=True)
    message = str(error.value)
    assert "\n" not in message
    assert len(message) < 600
    assert "resolve/main/model.safetensors" in message
    assert "pretrained = false" in message
    assert 'pretrained = "path/to/' in message


def test_a_cached_file_is_used_without_the_network(tmp_path, monkeypatch):
    source = timm_model("test_resnet")
    path = tmp_path / "model.safetensors"
    save_file(source.state_dict(), path)
    asked = []

    def cache(repository, filename, *, revision):
        asked.append((repository, filename, revision))
        return str(path)

    monkeypatch.setattr(pretrained_module.huggingface_hub, "try_to_load_from_cache", cache)
    model = small_model(pretrained=True)
    assert asked == [("timm/test_resnet.r160_in1k", "model.safetensors", None)]
    assert torch.equal(model.trunk.conv1[0].weight, source.conv1[0].weight)


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_hubs_offline_switch_is_honoured(tmp_path):
    code = """
from benchbox.errors import BenchboxError
from benchbox.models.registry import build_model
try:
    build_model("small", num_classes=2, pretrained=True)
except BenchboxError as error:
    print(error)
"""
    done = run_python(code, HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    assert "could not be downloaded" in done.stdout
    assert "Traceback" not in done.stderr


def test_ensure_torchvision_in_a_fresh_process():
    code = """
from benchbox.torchvision_import import ensure_torchvision
ensure_torchvision()
import sys
first = sys.modules["torchvision"]
ensure_torchvision()
import timm, torchvision
from torchvision.models.feature_extraction import create_feature_extractor
print(torchvision is first, torchvision.__version__ != "")
"""
    done = run_python(code)
    assert done.stdout.split() == ["True", "True"], done.stderr


def test_ensure_torchvision_passes_other_failures_on(monkeypatch):
    def fail(_name):
        raise RuntimeError("something else")

    monkeypatch.setattr("benchbox.torchvision_import.importlib.import_module", fail)
    with pytest.raises(RuntimeError, match="something else"):
        ensure_torchvision()
