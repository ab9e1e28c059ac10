"""An attack-ready copy is the same function: embeddings and gradients, many kinds of model."""

import copy

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from attacks import FNA
from benchbox.errors import BenchboxError
from benchbox.evaluation.attacking import attack_queries
from benchbox.evaluation.embedding import embed_images
from benchbox.models.convolutions import BlockConv2d, rearrange_convolutions
from benchbox.models.folding import AttackReady, attack_ready, fold_batch_norms, followers
from benchbox.models.registry import build_model


def lively(model, seed=0):
    """Give batch norms the statistics and scales of a trained network: nothing is 0 or 1."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.running_mean.uniform_(-0.5, 0.5, generator=generator)
                module.running_var.uniform_(0.5, 2, generator=generator)
                for parameter in module.parameters():
                    parameter.uniform_(0.5, 1.5, generator=generator)
    return model


def reid_model(name):
    from benchbox.models.registry import build_model

    return lively(build_model(name, num_classes=7))


def batch_norms(model):
    return sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())


class Residual(nn.Module):
    """Traceable: a stem, a block with a shortcut, a head."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.full((1, 3, 1, 1), 0.4))
        self.stem = nn.Conv2d(3, 8, 7, 2, 3, bias=False)
        self.bn = nn.BatchNorm2d(8)
        self.conv = nn.Conv2d(8, 8, 3, 1, 1)
        self.drop = nn.Identity()
        self.bn2 = nn.BatchNorm2d(8)
        self.neck = nn.BatchNorm1d(8)

    def forward(self, images):
        x = F.relu(self.bn(self.stem((images - self.mean) / 0.2)))
        x = F.relu(x + self.bn2(self.drop(self.conv(x))))
        return self.neck(x.mean((2, 3)).to(self.neck.weight.dtype))


class Untraceable(nn.Module):
    """Its own forward looks at values; its block does not."""

    def __init__(self):
        super().__init__()
        self.block = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())

    def forward(self, images):
        x = self.block(images)
        return x.mean((2, 3)) if bool(images.mean() > -1) else x.amax((2, 3))


class Unfoldable(nn.Module):
    """Folding any of these batch norms would change the function."""

    def __init__(self):
        super().__init__()
        self.twice = nn.Conv2d(3, 3, 3, 1, 1)
        self.bn_a, self.bn_b = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
        self.seen = nn.Conv2d(3, 3, 1)
        self.bn_c = nn.BatchNorm2d(3)
        self.before = nn.Conv2d(3, 4, 1)
        self.bn_d = nn.BatchNorm2d(4)
        self.batch_statistics = nn.Conv2d(4, 4, 1)
        self.bn_e = nn.BatchNorm2d(4, track_running_stats=False)

    def forward(self, images):
        x = self.bn_b(self.twice(self.bn_a(self.twice(images))))
        seen = self.seen(x)
        x = self.bn_c(seen) + seen
        x = self.bn_d(self.before(x).relu())
        return self.bn_e(self.batch_statistics(x)).mean((2, 3))


def embed_and_gradient(model, images):
    images = images.clone().requires_grad_()
    embeddings = model(images)
    weights = torch.linspace(-1, 1, embeddings.numel()).reshape(embeddings.shape)
    (gradient,) = torch.autograd.grad((embeddings * weights.to(embeddings)).sum(), images)
    return embeddings.detach(), gradient


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("make", "left"),
    [
        (lambda: lively(Residual()), 0),
        (lambda: nn.Sequential(lively(Untraceable())), 0),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 16, 5)), 0),
    ],
    ids=["residual", "untraceable", "linear"],
)
def test_embeddings_and_gradients_are_the_models(make, left, dtype):
    torch.manual_seed(0)
    model = make().to(dtype).eval()
    images = torch.rand(3, 3, 32, 16, dtype=dtype)
    ready = attack_ready(model)
    assert batch_norms(ready) == left
    for ours, expected in zip(
        embed_and_gradient(ready, images), embed_and_gradient(model, images), strict=True
    ):
        assert ours.dtype == dtype
        torch.testing.assert_close(
            ours, expected, rtol=0, atol=(1e-5 if dtype == torch.float32 else 1e-13)
        )


@pytest.mark.parametrize("name", ["small", "resnet18", "apnet", "mobilenetv3_small_050"])
def test_backbones_keep_their_embeddings(name):
    model = reid_model(name).eval()
    images = torch.rand(2, 3, 128, 64)
    ready = attack_ready(model)
    assert batch_norms(ready) <= 5 < batch_norms(model)
    with torch.no_grad():
        torch.testing.assert_close(ready(images), model(images), rtol=0, atol=1e-5)


def test_what_cannot_be_folded_exactly_stays():
    torch.manual_seed(0)
    model = lively_unfoldable().double().eval()
    ready = attack_ready(model)
    assert batch_norms(ready) == batch_norms(model)
    images = torch.rand(2, 3, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(ready(images), model(images), rtol=0, atol=1e-10)


def lively_unfoldable():
    model = Unfoldable()
    statistics = model.bn_e
    model.bn_e = nn.Identity()
    lively(model)
    model.bn_e = statistics
    return model


def test_a_module_held_twice_is_not_folded():
    convolution = nn.Conv2d(3, 3, 1)
    model = lively(nn.Sequential(convolution, nn.BatchNorm2d(3), nn.Sequential(convolution))).eval()
    assert ("0", "1") not in followers(model)
    folded = copy.deepcopy(model)
    fold_batch_norms(folded)
    images = torch.rand(1, 3, 4, 4)
    torch.testing.assert_close(folded(images), model(images))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_model_itself_is_left_as_it_was(precision):
    torch.manual_seed(0)
    model = lively(Residual()).train()
    model.bn.eval()
    model.conv.bias.requires_grad_(requires_grad=False)
    model.stem.weight.grad = torch.ones_like(model.stem.weight)
    flags = [parameter.requires_grad for parameter in model.parameters()]
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    ready = attack_ready(model, precision=precision)
    embed_and_gradient(ready, torch.rand(2, 3, 16, 8))
    assert [module.training for module in (model, model.bn, model.conv)] == [True, False, True]
    assert [parameter.requires_grad for parameter in model.parameters()] == flags
    assert torch.equal(model.stem.weight.grad, torch.ones_like(model.stem.weight))
    assert model.conv.weight.grad is None
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])
        assert tensor.dtype == before[name].dtype
    assert not any(module.training for module in ready.modules())
    assert not any(parameter.requires_grad for parameter in ready.parameters())
    assert all(parameter.grad is None for parameter in ready.parameters())


def test_bf16_keeps_pixels_and_embeddings_in_float32():
    torch.manual_seed(0)
    model = lively(Residual()).eval()
    ready = attack_ready(model, precision="bf16")
    seen = []
    for name in ("stem", "conv", "neck"):
        ready.model.get_submodule(name).register_forward_hook(
            lambda _module, _inputs, output: seen.append(output.dtype)
        )
    images = torch.rand(4, 3, 32, 16)
    embeddings, gradient = embed_and_gradient(ready, images)
    assert seen == [torch.bfloat16, torch.bfloat16, torch.float32]
    assert embeddings.dtype == gradient.dtype == torch.float32
    expected, exact_gradient = embed_and_gradient(model, images)
    error = (embeddings - expected).abs().max() / expected.abs().max()
    assert 1e-5 < error < 2e-2
    assert F.cosine_similarity(gradient.flatten(), exact_gradient.flatten(), dim=0) > 0.99


def test_bf16_attacks_are_as_strong_as_fp32_attacks():
    """What bf16 finds is judged in fp32: it must push as far, within five percent."""
    model = reid_model("small").eval()
    torch.manual_seed(0)
    images = torch.rand(16, 3, 64, 32)
    pids = torch.arange(16) // 4
    exact, half = attack_ready(model), attack_ready(model, precision="bf16")
    attack = FNA()
    reached = []
    for embed in (exact, half):
        with torch.no_grad():
            guides = attack.guides(embed(images), pids)
        adversarial = attack(embed, images, guides)
        assert (adversarial - images).abs().max() <= attack.eps + 1e-6
        with torch.no_grad():
            clean = attack.guides(exact(images), pids)
            reached.append(attack.objective(exact(adversarial), clean).sum())
            start = attack.objective(exact(images), clean).sum()
    assert reached[1] - start > 0.95 * (reached[0] - start) > 0


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_stem_over_blocks_is_the_same_convolution(data):
    draw = lambda low, high: data.draw(st.integers(low, high))  # noqa: E731
    stride, kernel = draw(2, 4), (draw(1, 7), draw(1, 7))
    padding = (draw(0, 4), draw(0, 4))
    size = tuple(draw(max(1, k - 2 * p), 17) for k, p in zip(kernel, padding, strict=True))
    torch.manual_seed(0)
    convolution = nn.Conv2d(
        draw(1, 4), 5, kernel, stride, padding, bias=data.draw(st.booleans())
    ).double()
    convolution.requires_grad_(requires_grad=False)
    images = torch.rand(2, convolution.in_channels, *size, dtype=torch.float64)
    for ours, expected in zip(
        embed_and_gradient(BlockConv2d(convolution), images),
        embed_and_gradient(convolution, images),
        strict=True,
    ):
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_rearranged_convolutions_are_the_same_function(data):
    draw = lambda low, high: data.draw(st.integers(low, high))  # noqa: E731
    groups, kernel = draw(1, 2), draw(1, 3)
    torch.manual_seed(0)
    convolution = nn.Conv2d(
        2 * draw(1, 3), 6, kernel, draw(1, 3), draw(0, 2), draw(1, 2), groups=groups,
        padding_mode=data.draw(st.sampled_from(["zeros", "reflect"])),
    )  # fmt: skip
    model = nn.Sequential(convolution.double().requires_grad_(requires_grad=False))
    images = torch.rand(2, convolution.in_channels, 9, 7, dtype=torch.float64)
    expected = embed_and_gradient(model, images)
    rearrange_convolutions(model)
    for ours, value in zip(embed_and_gradient(model, images), expected, strict=True):
        torch.testing.assert_close(ours, value, rtol=0, atol=1e-12)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="PyTorch without oneDNN")
def test_one_by_one_kernels_escape_the_slow_kernel():
    """The trick rests on how PyTorch chooses; if it chooses anew, this says so."""
    ready = attack_ready(nn.Sequential(nn.Conv2d(8, 8, 1), nn.Flatten()))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.profiler.profile() as profiler:
            embed_and_gradient(ready, torch.rand(2, 8, 8, 8))
    finally:
        torch.set_num_threads(threads)
    called = {event.key for event in profiler.key_averages()}
    assert "aten::mkldnn_convolution" in called
    assert not any("slow_conv2d" in name for name in called)


def test_unknown_precision_is_refused():
    with pytest.raises(BenchboxError, match="fp32 or bf16"):
        attack_ready(nn.Identity(), precision="fp16")


@pytest.mark.parametrize("ids", [(), (torch.tensor([4]),)])
def test_one_image_goes_the_way_of_two(ids: tuple[Tensor, ...]) -> None:
    """Small convolutions of a single image have a kernel of their own, which rounds otherwise."""
    seen: list[tuple[int, ...]] = []

    class Model(nn.Module):
        def forward(self, images: Tensor, *others: Tensor) -> Tensor:
            seen.append((len(images), *map(len, others)))
            return images.flatten(1) * (1 + sum(others, torch.zeros(1)))[:, None]

    image = torch.rand(1, 3, 4, 2, requires_grad=True)
    embedding = AttackReady(Model(), precision="fp32")(image, *ids)
    assert seen == [(2, *(2 for _ in ids))]
    factor = 5.0 if ids else 1.0
    assert torch.equal(embedding, image.flatten(1) * factor)
    embedding.sum().backward()
    assert torch.equal(image.grad, torch.full_like(image, factor))  # not twice


def test_embeddings_and_attacks_of_any_batch_size_agree_to_rounding() -> None:
    embed = attack_ready(build_model("small", num_classes=3, image_size=(32, 16)))
    drawn = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (9, 3, 32, 16), dtype=torch.uint8, generator=drawn)
    pids = torch.arange(9) % 3
    cpu = torch.device("cpu")

    def measured(batch_size: int) -> list[Tensor]:
        clean = embed_images(embed, images, batch_size=batch_size, device=cpu)
        attack = FNA(steps=3)
        aim = attack.guides(embed(images / 255), pids)
        (found,) = attack_queries(
            embed, attack, images, aim, budgets=[8 / 255], batch_size=batch_size, device=cpu,
            generators=[torch.Generator().manual_seed(n) for n in range(9)],
        )  # fmt: skip
        return [clean, found.features]

    whole = measured(64)
    for batch_size in (1, 2, 4):  # 4 and 4, and then one alone
        for ours, theirs in zip(measured(batch_size), whole, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
