"""What a version costs, in seconds of benchmarks: compared between versions on one machine.

``make speed`` writes their times; ``benchbox regress-speed`` holds two such files against each
other, each time divided by that of `test_reference_loop`, which runs before every round. Rounds are
short, so that both are disturbed alike, and counted in CPU seconds, which leave out most of what
other processes take.
"""

import time

import pytest
import torch

from attacks import FNA, SMA
from benchbox.evaluation.retrieval import evaluate_retrieval
from benchbox.models.folding import attack_ready
from benchbox.models.registry import build_model
from defenses.bs_ms import BS_MS

IMAGES = (32, 3, 64, 32)
ROUNDS = 15

pytestmark = pytest.mark.benchmark(timer=time.process_time)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return attack_ready(build_model("small", num_classes=40).eval())


@pytest.fixture(scope="module")
def images():
    return torch.rand(IMAGES, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def reference_loop():
    """Gradients of a plain network, with nothing of ours in it: the speed of the machine.

    Of the attacks' own size: a layer with 8 MB of outputs swung by 1.6 times where they did not.
    """
    layers = [
        layer
        for inputs, outputs in ((3, 32), (32, 64), (64, 128))
        for layer in (torch.nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), torch.nn.ReLU())
    ]
    network = torch.nn.Sequential(*layers, torch.nn.AdaptiveAvgPool2d(1))
    inputs = torch.rand(IMAGES).requires_grad_()

    def loop():
        for _ in range(3):
            network(inputs).square().mean().backward()

    return loop


@pytest.fixture
def beside_reference(benchmark, reference_loop):
    """Benchmark something in rounds, the reference loop timed before each; return its result."""

    def timed(target):
        seconds = []

        def reference():
            started = time.process_time()
            reference_loop()
            seconds.append(time.process_time() - started)

        found = benchmark.pedantic(target, setup=reference, rounds=ROUNDS, warmup_rounds=1)
        benchmark.extra_info["reference_seconds"] = {"test_reference_loop": seconds[-ROUNDS:]}
        return found

    return timed


def test_reference_loop(benchmark, reference_loop):
    benchmark.pedantic(reference_loop, rounds=ROUNDS, warmup_rounds=1)


@pytest.mark.parametrize("attack", [FNA(steps=4), SMA(steps=4)], ids=lambda attack: attack.name)
def test_attack_steps(beside_reference, model, images, attack):
    pids = torch.arange(len(images)) // 4
    with torch.no_grad():
        guides = attack.guides(model(images), pids)
    generator = torch.Generator().manual_seed(0)
    found = beside_reference(lambda: attack(model, images, guides, generator=generator))
    assert (found - images).abs().max() <= attack.eps + 1e-6


def test_guarding(beside_reference, images):
    found = beside_reference(lambda: [BS_MS.guard(images) for _ in range(2)])
    assert found[-1].shape == images.shape


def test_ranking(beside_reference):
    generator = torch.Generator().manual_seed(0)
    query, gallery = (torch.randn(n, 256, generator=generator) for n in (1000, 4000))
    labels = [torch.arange(n) % size for size in (200, 6) for n in (1000, 4000)]
    found = beside_reference(lambda: evaluate_retrieval(query, gallery, *labels))
    assert 0 < found.mAP < 0.1
