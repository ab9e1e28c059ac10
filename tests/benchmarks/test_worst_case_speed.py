"""The worst case's `fast` tier against FNA with 16 steps, and the objective against a step.

FNA alone at one budget. (In a grid with 8/255 and 10/255 it shares its first 8 gradients between
them, so that a cell of FNA there is 12 gradients, not 16.) No query of the worst case is finished
before the last step, as in a model that resists. Ratios of CPU seconds in one process on one
thread, the sides in turn. Run with
``pytest tests/benchmarks/test_worst_case_speed.py -s --override-ini addopts=``.
"""

import statistics
import time
from dataclasses import dataclass, replace
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
from benchbox.runs.stages.embed import guarded
from defenses import DEFENSES, Guard

CAMERAS = 6
ROUNDS = 3


@dataclass(frozen=True)
class Case:
    """A model, what stands before it, a batch, and a gallery of people and distractors."""

    backbone: str
    guard: Guard | None
    images: tuple[int, int, int, int]
    gallery: int
    people: int
    distractors: int = 0


MARKET = Case("resnet18", None, (32, 3, 128, 64), gallery=15_913, people=750, distractors=2_798)
DEMO = Case("small", DEFENSES["bs_ms"].guard, (64, 3, 64, 32), gallery=456, people=70)
"""MARKET has the gallery of Market-1501; DEMO is the demo's network behind its slowest guard."""


def made(case):
    """A case's model on noise, and a gallery around the queries' embeddings."""
    torch.manual_seed(0)
    shape = case.images[2:]
    network = build_model(case.backbone, num_classes=case.people + 1, image_size=shape).eval()
    model = guarded(attack_ready(network), case.guard, ())
    images = torch.rand(case.images)
    with torch.no_grad():
        features = model(images)
    people = torch.nn.functional.normalize(torch.randn(case.people + 1, features.shape[1]))
    pids = torch.arange(1, len(images) + 1)
    people[pids] = features
    others = case.gallery - case.distractors - len(pids)
    gallery_pids = torch.cat(
        [pids, torch.randint(1, case.people + 1, (others,)), torch.zeros(case.distractors).long()]
    )
    around = people[gallery_pids] + 0.02 * torch.randn(case.gallery, features.shape[1])
    query = Labelled(features, pids, torch.randint(0, CAMERAS, pids.shape))
    gallery = Labelled(
        torch.nn.functional.normalize(around),
        gallery_pids,
        torch.randint(0, CAMERAS, gallery_pids.shape),
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
@pytest.mark.parametrize("case", [MARKET, DEMO], ids=lambda case: case.backbone)
def test_fast_costs_at_most_one_and_a_half_fna(benchmark, capsys, case):
    model, images, query, gallery = made(case)
    fna, worst = FNA(steps=16), WorstCase(tier="fast")
    guides = fna.guides(query.features, query.pids)
    score = Scorer(query, gallery, ap="trapezoid")
    aim = worst.prepare(Knowledge(query=query, gallery=gallery, score=score))
    aim = replace(aim, finished=torch.full_like(aim.finished, -1.0))
    seconds = in_turn(
        fna=lambda: fna(model, images, guides),
        fast=lambda: worst.search(model, images, aim, eps=[8 / 255]),
    )
    title = f"fast / FNA-16, {case.backbone}"
    report(benchmark, capsys, title, seconds, "fast", "fna", 1.5)


@pytest.mark.benchmark(group="worst case")
def test_the_objective_is_a_tenth_of_a_step(benchmark, capsys):
    model, images, query, gallery = made(MARKET)
    ranking = Ranking.of(query, gallery)
    objective = RankedGradient(partial(smooth_ap, temperature=TEMPERATURE), ranking)

    def step():
        points = images.clone().requires_grad_()
        embeddings = model(points)
        torch.autograd.grad(embeddings, points, torch.ones_like(embeddings))

    seconds = in_turn(step=step, objective=lambda: objective(query.features))
    report(benchmark, capsys, "objective / step", seconds, "objective", "step", 0.1)
