"""The ReID model and its backbones, against manual computations and timm itself."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import fx, nn
from torch.func import functional_call

from benchbox.errors import BenchboxError
from benchbox.models.apnet import (
    STAGE_WIDTHS,
    APNet,
    AttentionPyramid,
    SplitAttention,
    SqueezeExcitation,
)
from benchbox.models.registry import BACKBONES, build_model, check_backbone
from benchbox.models.reid import ReidModel, functional_features
from benchbox.torchvision_import import ensure_torchvision

ensure_torchvision()
import timm  # noqa: E402

SMALL = (64, 32)


def images(count: int = 4, size: tuple[int, int] = SMALL, seed: int = 1) -> torch.Tensor:
    return torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(seed))


def small_model(**options) -> ReidModel:
    return build_model("small", num_classes=5, image_size=SMALL, **options)


def with_random_statistics(module: nn.Module, seed: int = 3) -> nn.Module:
    """Give every batch norm statistics and weights of its own, so that none acts as identity."""
    generator = torch.Generator().manual_seed(seed)
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
            shape = norm.running_mean.shape
            norm.running_mean.copy_(torch.randn(shape, generator=generator) * 0.1)
            norm.running_var.copy_(torch.rand(shape, generator=generator) + 0.5)
            with torch.no_grad():
                norm.weight.copy_(torch.rand(shape, generator=generator) + 0.5)
    return module


# Shapes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "small",
        "resnet50",
        "apnet",
        "test_vit",  # tokens with a class token, fixed size, resamples its positions
        "test_vit2",
        "test_convnext",
        "test_efficientnet",
        "test_mambaout",  # channels last
        "test_nfnet",
        "swin_tiny_patch4_window7_224",  # channels last, fixed size, built for the size
        "mobilenetv3_small_050",  # a layer between pooling and classifier
    ],
)
def test_every_kind_of_trunk_gives_unit_embeddings_at_reid_size(name):
    model = build_model(name, num_classes=7).eval()
    batch = images(2, (256, 128))
    with torch.no_grad():
        features = model.features(batch)
        embedding = model(batch)
    assert features.pooled.shape == features.embedding.shape == (2, model.embedding_dim)
    assert features.logits.shape == (2, 7)
    assert torch.equal(embedding, features.embedding)
    torch.testing.assert_close(embedding.norm(dim=1), torch.ones(2))
    assert not torch.allclose(features.pooled[0], features.pooled[1])


@pytest.mark.parametrize("name", ["resnet50", "apnet"])
def test_last_stride_is_one_and_nothing_is_dilated(name):
    trunk = build_model(name, num_classes=2).trunk.eval()
    with torch.no_grad():
        assert trunk.forward_features(images(1, (256, 128))).shape == (1, 2048, 16, 8)
    convolutions = [module for module in trunk.modules() if isinstance(module, nn.Conv2d)]
    assert {convolution.dilation for convolution in convolutions} == {(1, 1)}
    plain = timm.create_model("resnet50", num_classes=0).eval()
    with torch.no_grad():
        assert plain.forward_features(images(1, (256, 128))).shape == (1, 2048, 8, 4)


@pytest.mark.parametrize("name", ["small", "resnet50", "test_convnext"])
def test_a_trunk_takes_any_size(name):
    model = build_model(name, num_classes=2).eval()
    with torch.no_grad():
        assert model(images(1, (64, 32))).shape == model(images(1, (128, 96))).shape


def test_pooling_of_resnet_is_the_global_average():
    trunk = small_model().trunk.eval()
    with torch.no_grad():
        maps = trunk.forward_features(images())
        torch.testing.assert_close(trunk(images()), maps.mean((2, 3)))


def test_parameter_counts():
    def parameters(module):
        return sum(parameter.numel() for parameter in module.parameters())

    resnet = parameters(timm.create_model("resnet50", num_classes=0))
    assert resnet == 23_508_032  # the literature's 25,557,032 without its classifier
    expected = resnet
    for width in STAGE_WIDTHS:
        hidden = max(width // 2, 32)
        split_attention = (width // 2 + 1) * hidden + 2 * hidden + (hidden + 1) * width
        expected += split_attention + width + 2 * width * (width // 8)
    assert parameters(build_model("apnet", num_classes=2).trunk) == expected
    model = build_model("resnet50", num_classes=751)
    assert parameters(model) == resnet + 2048 + 751 * 2048
    assert 0.36e6 < parameters(small_model()) < 0.38e6


# Normalisation and head -----------------------------------------------------------------------


def test_normalisation_inside_equals_normalising_by_hand():
    model = build_model("resnet50", num_classes=2, image_size=SMALL).eval()
    batch = images()
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    std = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    with torch.no_grad():
        torch.testing.assert_close(model.pool(batch), model.trunk((batch - mean) / std))


def test_normalisation_is_the_one_timm_names_for_the_weights():
    model = build_model("test_vit", num_classes=2)
    config = timm.data.resolve_model_data_config(timm.create_model("test_vit"))
    torch.testing.assert_close(model.mean.flatten(), torch.tensor(config["mean"]))
    torch.testing.assert_close(model.std.flatten(), torch.tensor(config["std"]))


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_head_by_hand(mode):
    model = with_random_statistics(small_model()).train(mode == "train").double()
    batch = images().double()
    neck = copy.deepcopy(model.neck)
    with torch.no_grad():
        features = model.features(batch)
    pooled = features.pooled
    if mode == "train":
        mean, variance = pooled.mean(0), pooled.var(0, unbiased=False)
    else:
        mean, variance = neck.running_mean, neck.running_var
    necked = (pooled - mean) / (variance + neck.eps).sqrt() * neck.weight
    torch.testing.assert_close(features.logits, necked @ model.classifier.weight.T)
    lengths = necked.square().sum(1, keepdim=True).sqrt()
    torch.testing.assert_close(features.embedding, necked / lengths)


def test_neck_and_classifier_start_as_in_the_strong_baseline():
    model = build_model("resnet50", num_classes=751)
    head = {name for name, _ in model.named_parameters() if not name.startswith("trunk.")}
    assert head == {"neck.weight", "classifier.weight"}
    assert torch.equal(model.neck.weight, torch.ones(2048))
    weight = model.classifier.weight
    assert weight.std().item() == pytest.approx(0.001, rel=0.01)
    assert abs(weight.mean().item()) < 1e-5


def test_cosine_and_euclidean_rank_alike():
    model = small_model().eval()
    with torch.no_grad():
        embedding = model.double()(images(12).double())
    cosine = 1 - embedding @ embedding.T
    squared = torch.cdist(embedding, embedding).square()
    torch.testing.assert_close(squared, 2 * cosine, atol=1e-9, rtol=0)


def test_gradients_reach_the_pixels_and_every_parameter():
    model = small_model()
    batch = images().requires_grad_()
    features = model.features(batch)
    loss = F.cross_entropy(features.logits, torch.arange(4)) + features.pooled.square().mean()
    loss.backward()
    assert batch.grad.abs().sum() > 0
    silent = [name for name, value in model.named_parameters() if value.grad is None]
    assert silent == []


# Precision, layout, transformations -----------------------------------------------------------


@pytest.mark.parametrize("name", ["small", "apnet"])
def test_double_precision_and_channels_last_agree_with_single(name):
    model = with_random_statistics(build_model(name, num_classes=2, image_size=SMALL)).eval()
    with torch.no_grad():
        single = model(images())
        last = copy.deepcopy(model).to(memory_format=torch.channels_last)
        in_last = last(images().to(memory_format=torch.channels_last))
        double = copy.deepcopy(model).double()(images().double())
    assert double.dtype == torch.float64
    torch.testing.assert_close(single, in_last, atol=1e-4, rtol=0)
    torch.testing.assert_close(single.double(), double, atol=1e-4, rtol=0)


def test_autocast_keeps_embeddings_in_full_precision():
    model = small_model().eval()
    with torch.no_grad():
        exact = model(images())
        with torch.autocast("cpu", dtype=torch.bfloat16):
            features = model.features(images())
    assert features.pooled.dtype == features.embedding.dtype == torch.float32
    torch.testing.assert_close(features.embedding.norm(dim=1), torch.ones(4))
    assert (features.embedding * exact).sum(1).min() > 0.99


def test_functional_call_uses_the_given_parameters_and_differentiates():
    model = small_model().eval()
    generator = torch.Generator().manual_seed(0)
    moved = {
        name: (value + 0.01 * torch.randn(value.shape, generator=generator)).detach()
        for name, value in model.named_parameters()
    }
    oracle = copy.deepcopy(model)
    oracle.load_state_dict(moved, strict=False)
    before = copy.deepcopy(model.state_dict())
    for value in moved.values():
        value.requires_grad_()
    torch.testing.assert_close(functional_call(model, moved, (images(),)), oracle(images()))
    features = functional_features(model, moved, images())
    for found, expected in zip(features, oracle.features(images()), strict=True):
        torch.testing.assert_close(found, expected)
    gradients = torch.autograd.grad(features.logits.sum(), list(moved.values()))
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("name", ["small", "resnet50", "apnet"])
def test_trunk_and_model_are_traceable(name):
    model = with_random_statistics(build_model(name, num_classes=2, image_size=SMALL)).eval()
    with torch.no_grad():
        traced = fx.symbolic_trace(model.trunk)
        torch.testing.assert_close(traced(images()), model.trunk(images()))
        torch.testing.assert_close(fx.symbolic_trace(model)(images()), model(images()))


# The attention pyramid ------------------------------------------------------------------------


def naive_split_attention(block: SplitAttention, maps: torch.Tensor, groups: int) -> torch.Tensor:
    count, channels, height, width = maps.shape
    size = channels // groups
    result = torch.empty_like(maps)
    for i in range(count):
        parts = [maps[i, g * size : (g + 1) * size] for g in range(groups)]
        descriptor = sum(part.reshape(size, -1).sum(1) / (height * width) for part in parts)
        hidden = block.squeeze.weight @ descriptor + block.squeeze.bias
        scale = block.norm.weight / (block.norm.running_var + block.norm.eps).sqrt()
        hidden = (hidden - block.norm.running_mean) * scale + block.norm.bias
        hidden = hidden.clamp(min=0)
        scores = block.excite.weight @ hidden + block.excite.bias
        for c in range(size):
            total = sum(math.exp(scores[g * size + c]) for g in range(groups))
            for g in range(groups):
                share = math.exp(scores[g * size + c]) / total
                result[i, g * size + c] = parts[g][c] * share
    return result


@pytest.mark.parametrize("groups", [2, 4])
def test_split_attention_by_loops_over_groups(groups):
    torch.manual_seed(0)
    block = with_random_statistics(SplitAttention(16, groups=groups)).double().eval()
    maps = torch.randn(3, 16, 5, 4, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(block(maps), naive_split_attention(block, maps, groups))
        attention = block.attention(maps)
    assert ((attention > 0) & (attention < 1)).all()
    torch.testing.assert_close(
        attention.reshape(3, groups, -1).sum(1), torch.ones(3, 16 // groups, dtype=torch.float64)
    )


def test_pyramid_is_split_attention_then_norm_then_squeeze_excitation():
    torch.manual_seed(0)
    pyramid = with_random_statistics(AttentionPyramid(16)).double().eval()
    split, norm, whole = pyramid
    assert norm.bias is None
    assert whole.squeeze.weight.shape == (2, 16)
    maps = torch.randn(3, 16, 5, 4, dtype=torch.float64)
    with torch.no_grad():
        expected = naive_split_attention(split, maps, 2)
        for c in range(16):
            spread = math.sqrt(norm.running_var[c] + norm.eps)
            expected[:, c] = (expected[:, c] - norm.running_mean[c]) / spread * norm.weight[c]
        for i in range(3):
            hidden = (whole.squeeze.weight @ expected[i].mean((1, 2))).clamp(min=0)
            scores = whole.excite.weight @ hidden
            for c in range(16):
                expected[i, c] *= 1 / (1 + math.exp(-scores[c]))
        torch.testing.assert_close(pyramid(maps), expected)


def test_pyramid_gradients_against_finite_differences():
    torch.manual_seed(0)
    pyramid = with_random_statistics(AttentionPyramid(8)).double().eval()
    maps = torch.randn(2, 8, 3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(pyramid, (maps,))


def test_level_one_is_squeeze_excitation_alone_and_groups_must_divide():
    assert [type(block) for block in AttentionPyramid(16, level=1)] == [SqueezeExcitation]
    with pytest.raises(ValueError, match="16 channels"):
        SplitAttention(16, groups=3)


def test_apnet_stands_between_the_stages_and_learns():
    model = build_model("apnet", num_classes=3, image_size=SMALL)
    trunk = model.trunk
    assert isinstance(trunk, APNet)
    order = []
    for name, module in trunk.named_modules():
        if name == "stem" or (name.count(".") == 1 and not name.startswith("stem")):
            module.register_forward_hook(lambda *_, name=name: order.append(name))
    model.features(images()).logits.square().sum().backward()
    assert order == ["stem", "pyramids.0"] + [
        name for i in range(4) for name in (f"stages.{i}", f"pyramids.{i + 1}")
    ]
    for name, parameter in trunk.pyramids.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    norms = [pyramid[2].excite.weight.grad.norm() for pyramid in trunk.pyramids]
    assert min(norms) > 0


# Names and seeds ------------------------------------------------------------------------------


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(BenchboxError, match="'resnet50'") as error:
        check_backbone("rsnet50", where="demo.toml: backbones")
    assert str(error.value).startswith("demo.toml: backbones: unknown backbone 'rsnet50'")
    assert error.value.exit_code == 2
    with pytest.raises(BenchboxError, match="unknown backbone"):
        build_model("hf-hub:somebody/model", num_classes=2)
    with pytest.raises(BenchboxError, match=r"resnet50\.tv_in1k"):
        check_backbone("resnet50.no_such_tag")
    with pytest.raises(BenchboxError, match="num_classes"):
        build_model("small", num_classes=0)


def test_a_tag_keeps_our_architecture():
    trunk = build_model("resnet50.tv_in1k", num_classes=2, image_size=SMALL).trunk
    assert trunk.layer4[0].conv2.stride == (1, 1)


def test_a_timm_model_that_cannot_embed_is_one_clear_error(monkeypatch):
    def broken(*_args, **_options):
        return nn.Identity()

    monkeypatch.setattr(timm, "create_model", broken)
    with pytest.raises(BenchboxError, match=r"resnet18.*256×128"):
        build_model("resnet18", num_classes=2)


def test_our_names_are_buildable():
    for name in BACKBONES:
        check_backbone(name)


def test_seed_decides_the_weights_and_leaves_the_global_generator_alone():
    torch.manual_seed(11)
    state = torch.get_rng_state()
    first, again, other = small_model(seed=1), small_model(seed=1), small_model(seed=2)
    assert torch.equal(torch.get_rng_state(), state)
    for name, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    assert not torch.equal(first.trunk.conv1[0].weight, other.trunk.conv1[0].weight)
    assert not torch.equal(first.classifier.weight, other.classifier.weight)


def test_without_seed_the_global_generator_decides():
    torch.manual_seed(5)
    first = small_model(seed=None)
    second = small_model(seed=None)
    torch.manual_seed(5)
    again = small_model(seed=None)
    assert torch.equal(first.classifier.weight, again.classifier.weight)
    assert not torch.equal(first.classifier.weight, second.classifier.weight)


def test_models_copy_and_pickle():
    import pickle

    model = build_model("apnet", num_classes=2, image_size=SMALL).eval()
    copied = pickle.loads(pickle.dumps(model))
    with torch.no_grad():
        assert torch.equal(copied(images(1)), model(images(1)))
