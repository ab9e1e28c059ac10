"""Attack image-steps per second against torchattacks' PGD driven with the same objective.

Both sides run in one process on one thread, alternately, in CPU seconds (other processes' load
counts less that way); a ratio is of one round's two sides. The peer gets the model as trained, in
evaluation mode; we get its attack-ready copy, whose making is counted separately. Run with
``pytest tests/benchmarks/test_attack_speed.py -s --override-ini addopts=``.
"""

import statistics
import time
from types import SimpleNamespace

import pytest
import torch

from attacks import ATTACKS, FNA, SMA, MetricIFGSM
from benchbox.models.folding import attack_ready
from benchbox.models.registry import build_model

torchattacks = pytest.importorskip("torchattacks")

CASES = {"resnet50": (8, 3, 256, 128), "resnet18": (32, 3, 128, 64)}
BUDGETS = (8 / 255, 10 / 255)
STEP_ROUNDS, STEPS = 7, 2
TABLE_ROUNDS = {"resnet50": 1, "resnet18": 3}


def made(name):
    torch.manual_seed(0)
    model = build_model(name, num_classes=751).eval()
    images = torch.rand(CASES[name])
    pids = torch.arange(len(images)) // 4
    return model, images, pids


def peer_attack(monkeypatch, attack, model, images, guides, *, eps, steps):
    """Run torchattacks' own PGD loop; only the loss it makes for itself is ours."""

    def loss(outputs, rows):
        return attack.objective(outputs, guides[rows]).sum()

    monkeypatch.setattr(
        "torchattacks.attacks.pgd.nn", SimpleNamespace(CrossEntropyLoss=lambda: loss)
    )
    pgd = torchattacks.PGD(
        model, eps=eps, alpha=1 / 255, steps=steps, random_start=attack.start == "random"
    )
    return pgd(images, torch.arange(len(images)))


def alternately(rounds, **sides):
    """Return each side's CPU seconds per round and last result."""
    seconds = {name: [] for name in sides}
    results = {}
    for _ in range(rounds):
        for name, side in sides.items():
            started = time.process_time()
            results[name] = side()
            seconds[name].append(time.process_time() - started)
    return seconds, results


def report(benchmark, capsys, title, seconds, image_steps):
    for name, times in seconds.items():
        ratios = [theirs / ours for theirs, ours in zip(seconds["peer"], times, strict=True)]
        facts = {
            "image-steps/s": round(image_steps / min(times), 2),
            "ratio of least": round(min(seconds["peer"]) / min(times), 3),
            "least ratio": round(min(ratios), 3),
            "median ratio": round(statistics.median(ratios), 3),
        }
        benchmark.extra_info[name] = facts
        with capsys.disabled():
            print(f"\n{title} {name}: {facts}", end="")


@pytest.mark.benchmark(group="attack steps")
@pytest.mark.parametrize("name", CASES)
def test_attack_steps(benchmark, capsys, monkeypatch, name):
    """One budget, one attack: what the model's preparation alone is worth."""
    model, images, pids = made(name)
    started = time.process_time()
    exact = attack_ready(model)
    with capsys.disabled():
        print(f"\n{name}: attack-ready in {time.process_time() - started:.2f} s", end="")
    half = attack_ready(model, precision="bf16")
    attack = FNA(steps=STEPS)
    with torch.no_grad():
        guides = attack.guides(model(images), pids)
    seconds, results = alternately(
        STEP_ROUNDS,
        peer=lambda: peer_attack(
            monkeypatch, attack, model, images, guides, eps=attack.eps, steps=STEPS
        ),
        fp32=lambda: attack(exact, images, guides),
        bf16=lambda: attack(half, images, guides),
    )
    # The same ascent: pixels differ only where rounding turns the sign of a gradient near zero.
    assert ((results["fp32"] - results["peer"]).abs() > 1e-6).float().mean() < 0.02
    benchmark.pedantic(lambda: attack(half, images, guides), rounds=1)
    report(benchmark, capsys, f"{name} steps", seconds, len(images) * STEPS)


@pytest.mark.benchmark(group="attack table")
@pytest.mark.parametrize("name", CASES)
def test_attack_table(benchmark, capsys, monkeypatch, name):
    """A row of the white-box table: three attacks at two budgets with 16 steps."""
    model, images, pids = made(name)
    kinds = (FNA(), SMA(), MetricIFGSM())
    with torch.no_grad():
        features = model(images)
    guides = {attack.name: attack.guides(features, pids) for attack in kinds}

    def peer():
        return {
            (attack.name, eps): peer_attack(
                monkeypatch, attack, model, images, guides[attack.name], eps=eps, steps=attack.steps
            )
            for attack in kinds
            for eps in BUDGETS
        }

    def ours(precision):
        ready = attack_ready(model, precision=precision)
        swept = {}
        for attack in kinds:
            results = attack.sweep(ready, images, guides[attack.name], eps=BUDGETS)
            swept |= {(attack.name, eps): r for eps, r in zip(BUDGETS, results, strict=True)}
        return swept

    seconds, results = alternately(
        TABLE_ROUNDS[name], peer=peer, fp32=lambda: ours("fp32"), bf16=lambda: ours("bf16")
    )
    for (attack, eps), result in results["fp32"].items():
        assert (result - images).abs().max() <= eps + 1e-6
        if attack != "sma":  # its start is random
            kind = ATTACKS[attack]()
            with torch.no_grad():
                theirs, reached = (
                    kind.objective(model(side[attack, eps]), guides[attack]).sum().item()
                    for side in (results["peer"], results["fp32"])
                )
            assert reached == pytest.approx(theirs, rel=0.05)
    benchmark.pedantic(lambda: None, rounds=1)
    image_steps = len(images) * sum(attack.steps for attack in kinds) * len(BUDGETS)
    report(benchmark, capsys, f"{name} table", seconds, image_steps)
