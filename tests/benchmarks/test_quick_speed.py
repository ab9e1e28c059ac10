"""What a version costs, in seconds of benchmarks: compared between versions on one machine.

``make speed`` writes their times; ``benchbox regress-speed`` holds two such files against each
other, each time divided by that of `test_reference_loop` in the same run.
"""

import pytest
import torch

from attacks import FNA, SMA
from benchbox.evaluation.retrieval import evaluate_retrieval
from benchbox.models.folding import attack_ready
from benchbox.models.registry import build_model
from defenses.bs_ms import BS_MS

IMAGES = (32, 3, 64, 32)
TIMES = {"rounds": 9, "warmup_rounds": 1}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return attack_ready(build_model("small", num_classes=40).eval())


@pytest.fixture(scope="module")
def images():
    return torch.rand(IMAGES, generator=torch.Generator().manual_seed(0))


def test_reference_loop(benchmark):
    """Gradients of a plain convolution, with nothing of ours in it: the speed of the machine."""
    layer = torch.nn.Conv2d(16, 32, 3, padding=1)
    inputs = torch.rand(32, 16, 64, 32)

    def loop():
        for _ in range(10):
            layer(inputs).square().mean().backward()

    benchmark.pedantic(loop, **TIMES)


@pytest.mark.parametrize("attack", [FNA(), SMA()], ids=lambda attack: attack.name)
def test_attack(benchmark, model, images, attack):
    pids = torch.arange(len(images)) // 4
    with torch.no_grad():
        guides = attack.guides(model(images), pids)
    generator = torch.Generator().manual_seed(0)
    found = benchmark.pedantic(lambda: attack(model, images, guides, generator=generator), **TIMES)
    assert (found - images).abs().max() <= attack.eps + 1e-6


def test_guard(benchmark, images):
    found = benchmark.pedantic(lambda: [BS_MS.guard(images) for _ in range(10)], **TIMES)
    assert found[-1].shape == images.shape


def test_ranking(benchmark):
    generator = torch.Generator().manual_seed(0)
    query, gallery = (torch.randn(n, 256, generator=generator) for n in (1000, 4000))
    labels = [torch.arange(n) % size for size in (200, 6) for n in (1000, 4000)]
    found = benchmark.pedantic(lambda: evaluate_retrieval(query, gallery, *labels), **TIMES)
    assert 0 < found.mAP < 0.1
