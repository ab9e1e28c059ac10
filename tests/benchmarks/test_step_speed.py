"""CPU seconds per training step of each recipe: against a vanilla step, and against its ideal.

The ideal is what the mathematics of a recipe cannot do without, built from four primitives. Each
is written here in plain PyTorch and measured on the model as it is trained (nothing folded or
copied), under the recipe's precision and in channels-last:

- F: a forward pass in evaluation mode, without gradients;
- A: a forward pass in evaluation mode and the gradient of its input (k in a row are timed, so that
  a disturbance on the machine weighs as it does in a step);
- T(n): forward pass, weight gradients and optimiser step on n images, with L_cls and L_tri;
- M: Eq. 9–13 of Zhou et al. 2025 on 2B images, in two halves: the meta-train loss, its gradient
  by ``torch.autograd.grad(create_graph=True)``, the meta-test loss at θ − α·gradient by
  ``functional_call``, then one backward pass through both losses and an optimiser step.

With a batch of B images and k attack steps:

==============================  ==============================
vanilla                         T(B)
adv_train                       F + k·A + T(B)
at_pgd                          k·A + T(B)
metric_at, ddd, +fnes, +adv.    F + k·A + T(2B)
ddd with meta                   F + k·A + M
das                             2F + k·A + T(B)
amd                             T(2B)
==============================  ==============================

So augmentation, copying and folding the model for the attack, guides, projections, the
discriminator and the loop itself all count as overhead. It is meant to stay within 15%; where
folding saves more than it costs, it is negative. One-epoch work (checkpoint, log) is left out.

All sides share one model and one optimiser and run in one process on one thread, alternately; a
ratio is of one round's sides. Run with
``pytest tests/benchmarks/test_step_speed.py -s --override-ini addopts=``.
"""

import gc
import statistics
import time
from dataclasses import dataclass, replace

import pytest
import torch
from torch import nn
from torch.func import functional_call

from benchbox.models.registry import build_model
from benchbox.training.loop import _Work
from benchbox.training.losses import identity_loss, triplet_loss
from benchbox.training.recipe import Training
from benchbox.training.training_set import TrainingSet
from defenses import (
    ATPGD,
    AdversarialMetricDefense,
    AdvTrain,
    DualInvariantDefense,
    DynamicAttack,
    MetricAT,
    Vanilla,
)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A model and a batch of P identities × K images, and how often all sides are measured.

    The first ``unmeasured`` rounds are for caches and optimiser state alone.
    """

    backbone: str
    size: tuple[int, int]
    identities: int
    images: int
    rounds: int
    unmeasured: int = 1

    @property
    def batch(self):
        return self.identities * self.images


CASES = {
    "small": Case(backbone="small", size=(64, 32), identities=16, images=4, rounds=7),
    "resnet18": Case(backbone="resnet18", size=(128, 64), identities=8, images=4, rounds=3),
    "resnet50": Case(
        backbone="resnet50", size=(256, 128), identities=4, images=2, rounds=1, unmeasured=0
    ),
}
PRECISIONS = {"small": ("fp32", "bf16"), "resnet18": ("fp32", "bf16"), "resnet50": ("fp32",)}

RECIPES = {
    "vanilla": Vanilla(),
    "adv_train": AdvTrain(),
    "at_pgd": ATPGD(),
    "metric_at": MetricAT(),
    "amd": AdversarialMetricDefense(),
    "das": DynamicAttack(),
    "ddd": DualInvariantDefense(modules=()),
    "ddd+fnes": DualInvariantDefense(modules=("fnes",)),
    "ddd+adversarial": DualInvariantDefense(modules=("adversarial",)),
    "ddd+meta": DualInvariantDefense(modules=("meta",)),
    "ddd+all": DualInvariantDefense(modules=("adversarial", "meta", "fnes")),
}


STEPS = 7
"""k of every recipe that attacks."""


def ideal(name, cost):
    """Return the ideal seconds of a step from those of the primitives."""
    attack = STEPS * cost["A"]
    match name:
        case "vanilla":
            return cost["T(B)"]
        case "amd":
            return cost["T(2B)"]
        case "at_pgd":
            return attack + cost["T(B)"]
        case "adv_train":
            return cost["F"] + attack + cost["T(B)"]
        case "das":
            return 2 * cost["F"] + attack + cost["T(B)"]
        case "ddd+meta" | "ddd+all":
            return cost["F"] + attack + cost["M"]
        case "metric_at" | "ddd" | "ddd+fnes" | "ddd+adversarial":
            return cost["F"] + attack + cost["T(2B)"]
    raise ValueError(name)


class Whole(nn.Module):
    """Logits and pooled features, as one module that ``functional_call`` can reach."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, images):
        features = self.model.features(images)
        return features.logits, features.pooled


def new_model(case):
    model = build_model(case.backbone, num_classes=case.identities * 4, image_size=case.size)
    return model.to(memory_format=torch.channels_last).train()


def pair(outputs, labels):
    logits, pooled = outputs
    return identity_loss(logits, labels) + triplet_loss(pooled, labels)


class Primitives:
    """F, A, T(n) and M, each a function of no arguments that does the work once."""

    def __init__(self, case, training, model, optimizer):
        self.case, self.model, self.optimizer = case, model, optimizer
        half = training.precision == "bf16"
        self.autocast = lambda: torch.autocast("cpu", torch.bfloat16, enabled=half)
        self.whole = Whole(model)
        shape = (2 * case.batch, 3, *case.size)
        self.images = torch.rand(shape).contiguous(memory_format=torch.channels_last)
        self.labels = (torch.arange(case.batch) // case.images).repeat(2)

    def sides(self):
        count = self.case.batch
        return {
            "F": self.forward,
            "A": self.input_gradients,
            "T(B)": lambda: self.trained(count),
            "T(2B)": lambda: self.trained(2 * count),
            "M": self.looked_ahead,
        }

    def forward(self):
        self.model.eval()
        with torch.no_grad(), self.autocast():
            self.model(self.images[: self.case.batch])

    def input_gradients(self):
        self.model.eval()
        for _ in range(STEPS):
            points = self.images[: self.case.batch].detach().requires_grad_()
            with self.autocast():
                value = self.model(points).float().square()[:, ::2].sum()
            torch.autograd.grad(value, points)

    def trained(self, count):
        self.model.train()
        with self.autocast():
            loss = pair(self.whole(self.images[:count]), self.labels[:count])
        self.descend(loss)

    def looked_ahead(self, rate=0.01):
        self.model.train()
        parameters = dict(self.whole.named_parameters())
        train, test = self.images.chunk(2)
        labels = self.labels[: self.case.batch]
        with self.autocast():
            here = pair(self.whole(train), labels)
            gradients = torch.autograd.grad(here, list(parameters.values()), create_graph=True)
            ahead = {
                name: value - rate * gradient
                for (name, value), gradient in zip(parameters.items(), gradients, strict=True)
            }
            there = pair(functional_call(self.whole, ahead, (test,)), labels)
        self.descend(here + there)

    def descend(self, loss):
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()


def made_data(case, *, examples):
    classes = case.identities * 4
    shape = (classes * case.images, 3, *case.size)
    images = torch.randint(256, shape, dtype=torch.uint8)
    labels = torch.arange(classes).repeat_interleave(case.images)
    return TrainingSet(images, labels, examples=images.clone() if examples else None)


def loop_step(recipe, case, model, optimizer):
    """Return a function that does what `train` does between two calls of its progress."""
    device = torch.device("cpu")
    data = made_data(case, examples=isinstance(recipe, AdversarialMetricDefense))
    work = _Work(
        recipe=recipe,
        model=model,
        data=data,
        seed=0,
        device=device,
        optimizer=optimizer,
        scaler=torch.amp.GradScaler("cpu", enabled=False),
        companion=recipe.companion(model, data, seed=0, device=device),
    )
    rows = torch.arange(case.batch)

    def step():
        model.train()
        return work.step(work.batch(rows, 0, 0, done=0.5), 0)

    return step


def alternately(sides, *, rounds, unmeasured):
    """Return each side's CPU seconds per round."""
    seconds = {name: [] for name in sides}
    for number in range(unmeasured + rounds):
        for name, side in sides.items():
            gc.collect()
            started = time.process_time()
            side()
            if number >= unmeasured:
                seconds[name].append(time.process_time() - started)
    return seconds


def costs_of(seconds):
    """Return the seconds of each primitive, per round."""
    names = ("F", "A", "T(B)", "T(2B)", "M")
    shares = {"A": STEPS}
    return [
        {name: took / shares.get(name, 1) for name, took in zip(names, round_, strict=True)}
        for round_ in zip(*(seconds[name] for name in names), strict=True)
    ]


def facts_of(name, seconds, costs):
    vanilla = seconds["vanilla"]
    ratios = [mine / theirs for mine, theirs in zip(seconds[name], vanilla, strict=True)]
    ideals = [ideal(name, cost) for cost in costs]
    over = [mine / best - 1 for mine, best in zip(seconds[name], ideals, strict=True)]
    least = {key: min(cost[key] for cost in costs) for key in costs[0]}
    return {
        "s/step": round(statistics.median(seconds[name]), 4),
        "x vanilla": round(statistics.median(ratios), 2),
        "ideal": round(statistics.median(ideals), 4),
        "overhead": round(statistics.median(over), 3),
        "overhead of least": round(min(seconds[name]) / ideal(name, least) - 1, 3),
        "from, to": (round(min(over), 3), round(max(over), 3)),
    }


@pytest.mark.slow
@pytest.mark.benchmark(group="training steps")
@pytest.mark.parametrize(
    ("name", "precision"), [(name, kind) for name in CASES for kind in PRECISIONS[name]]
)
def test_training_steps(benchmark, capsys, name, precision):
    """Every recipe's step beside its ideal; nothing timed is asserted."""
    torch.manual_seed(0)
    case = CASES[name]
    training = Training(
        batch_identities=case.identities, batch_images=case.images, precision=precision
    )
    recipes = {key: replace(recipe, training=training) for key, recipe in RECIPES.items()}
    assert {recipe.steps for recipe in recipes.values() if hasattr(recipe, "steps")} == {STEPS}
    model = new_model(case)
    optimizer = torch.optim.Adam(
        model.parameters(), lr=training.lr, weight_decay=training.weight_decay, fused=True
    )
    steps = {key: loop_step(recipe, case, model, optimizer) for key, recipe in recipes.items()}
    sides = Primitives(case, training, model, optimizer).sides() | steps
    seconds = alternately(sides, rounds=case.rounds, unmeasured=case.unmeasured)
    costs = costs_of(seconds)
    benchmark.pedantic(steps["vanilla"], rounds=1)
    title = f"{name} {precision}"
    medians = {key: round(statistics.median(cost[key] for cost in costs), 4) for key in costs[0]}
    benchmark.extra_info["primitives"] = medians
    with capsys.disabled():
        print(f"\n{title} primitives, s: {medians}")
        for key in recipes:
            facts = facts_of(key, seconds, costs)
            benchmark.extra_info[key] = facts
            print(f"{title} {key}: {facts}")
    # What was timed was training: finite losses, weights that moved.
    losses = {key: step() for key, step in steps.items()}
    assert all(bool(loss.isfinite()) for each in losses.values() for loss in each.values())
    start = new_model(case).state_dict()
    assert any(not torch.equal(now, start[key]) for key, now in model.state_dict().items())
