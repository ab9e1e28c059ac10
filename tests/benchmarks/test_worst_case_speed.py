"""The worst case's `fast` tier against FNA with 16 steps, and the objective against a step.

Ratios of CPU seconds in one process on one thread, the sides in turn. Run with
``pytest tests/benchmarks/test_worst_case_speed.py -s --override-ini addopts=``.
"""

import statistics
import time
from functools import partial

import pytest
import torch

from attacks import FNA, Knowledge, Labelled
from attacks.rank_objectives import TEMPERATURE, smooth_ap
from attacks.ranked_gradient import RankedGradient
from attacks.ranking import Ranking
from attacks.worst_case import WorstCase
from benchbox.evaluation.scoring import Scorer
from benchbox.models.folding import attack_ready
from benchbox.models.registry import build_model

IMAGES, GALLERY, PIDS, CAMERAS = (32, 3, 128, 64), 15_913, 750, 6
ROUNDS = 3


@pytest.fixture(scope="module")
def made():
    """A ResNet-18 on noise and a gallery of Market-1501's size around the queries' embeddings."""
    torch.manual_seed(0)
    model = attack_ready(build_model("resnet18", num_classes=PIDS + 1).eval())
    images = torch.rand(IMAGES)
    with torch.no_grad():
        features = model(images)
    people = torch.nn.functional.normalize(torch.randn(PIDS + 1, features.shape[1]))
    pids, gallery_pids = torch.arange(1, len(images) + 1), torch.randint(0, PIDS + 1, (GALLERY,))
    people[pids] = features
    around = people[gallery_pids] + 0.02 * torch.randn(GALLERY, features.shape[1])
    query = Labelled(features, pids, torch.randint(0, CAMERAS, pids.shape))
    gallery = Labelled(
        torch.nn.functional.normalize(around), gallery_pids, torch.randint(0, CAMERAS, (GALLERY,))
    )
    return model, images, query, gallery


def in_turn(**sides):
    """Return each side's CPU seconds, round by round."""
    seconds = {name: [] for name in sides}
    for _ in range(ROUNDS):
        for name, side in sides.items():
            started = time.process_time()
            side()
            seconds[name].append(time.process_time() - started)
    return seconds


def report(benchmark, capsys, title, seconds, ours, base, limit):
    ratio = statistics.median(
        mine / theirs for mine, theirs in zip(seconds[ours], seconds[base], strict=True)
    )
    benchmark.extra_info["ratio"] = round(ratio, 3)
    benchmark.pedantic(lambda: None, rounds=1)
    with capsys.disabled():
        print(f"\n{title}: {ratio:.3f} (at most {limit})", end="")
    assert ratio <= limit


@pytest.mark.benchmark(group="worst case")
def test_fast_costs_at_most_one_and_a_half_fna(benchmark, capsys, made):
    model, images, query, gallery = made
    fna, worst = FNA(steps=16), WorstCase(tier="fast")
    guides = fna.guides(query.features, query.pids)
    score = Scorer(query, gallery, ap="trapezoid")
    aim = worst.prepare(Knowledge(query=query, gallery=gallery, score=score))
    seconds = in_turn(
        fna=lambda: fna(model, images, guides),
        fast=lambda: worst.search(model, images, aim, eps=[8 / 255]),
    )
    report(benchmark, capsys, "fast / FNA-16", seconds, "fast", "fna", 1.5)


@pytest.mark.benchmark(group="worst case")
def test_the_objective_is_a_tenth_of_a_step(benchmark, capsys, made):
    model, images, query, gallery = made
    ranking = Ranking.of(query, gallery)
    objective = RankedGradient(partial(smooth_ap, temperature=TEMPERATURE), ranking)

    def step():
        points = images.clone().requires_grad_()
        embeddings = model(points)
        torch.autograd.grad(embeddings, points, torch.ones_like(embeddings))

    seconds = in_turn(step=step, objective=lambda: objective(query.features))
    report(benchmark, capsys, "objective / step", seconds, "objective", "step", 0.1)
