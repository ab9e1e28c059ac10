"""The sanity checks (Carlini et al. 2019, "On Evaluating Adversarial Robustness", and after them).

Each compares two ways of treating the same queries. A difference counts when it exceeds
`SMALLEST` points of mAP and twice its standard error over the identities, paired.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchbox.errors import BenchboxError
from benchbox.leaderboard.sanity.backward import (
    average_pooled,
    averaged_over_draws,
    straight_through,
)
from benchbox.leaderboard.sanity.result import CheckResult
from benchbox.leaderboard.sanity.subject import Floats, Subject
from benchbox.statistics.by_identity import by_identity

Progress = Callable[[float, str], None]
"""Told a share in [0, 1] and what comes next."""

SMALLEST = 1.0
"""Points of mAP below which no difference counts."""

LONGER = 4
"""How many times the protocol's steps the long attack takes."""

LOST = 1 / 3
"""The share of its mAP a guard may lose to the long attack: on Sidewalk (small) Adv_train loses a
tenth, DAS a seventh, BS+MS two thirds."""

HUGE = 64 / 255
"""A budget in which an image can be made to look like anything."""

NO_SOURCE = (
    "the run has no other trained model to take queries from; put origin (or, for a guard on its "
    "weights, adv_train) into the grid"
)

_ZERO_SHARE = 0.01


@dataclass(frozen=True)
class Examination:
    """A subject with the attack that all checks are held against, made once.

    Attributes:
        subject: the defended model.
        sources: other models of the same backbone and training set, by title: for transfer.
    """

    subject: Subject
    sources: Mapping[str, Subject]

    @cached_property
    def swept(self) -> list[Tensor]:
        """The protocol's adversarial queries at each budget, the smallest first."""
        return self.subject.attacked(budgets=self.subject.budgets)

    @cached_property
    def by_budget(self) -> list[Floats]:
        """AP under the protocol's attack at each budget, the smallest first."""
        return [self.under(images) for images in self.swept]

    @property
    def white_box(self) -> Floats:
        """AP under the protocol's attack at the smallest budget."""
        return self.by_budget[0]

    @cached_property
    def random(self) -> bool:
        """Whether the same image gives different embeddings."""
        few = self.subject.clean[:8].to(self.subject.device)
        with torch.no_grad():
            return not torch.equal(self.subject.embed(few), self.subject.embed(few))

    @cached_property
    def chance(self) -> float:
        """The mAP (%) of embeddings drawn at random."""
        subject = self.subject
        generator = torch.Generator().manual_seed(0)
        drawn = torch.randn(len(subject.queries), subject.gallery.shape[1], generator=generator)
        return float(subject.ranked(torch.nn.functional.normalize(drawn)).mean())

    def change(self, before: Floats, after: Floats) -> tuple[float, float]:
        """Return by how many points mAP rises, and what of it may be chance."""
        return beyond_noise(before, after, self.subject.pids)

    @property
    def near_chance(self) -> float:
        """The mAP (%) up to which an attack has taken all there was to take."""
        return 2 * self.chance + SMALLEST

    def under(self, images: Tensor) -> Floats:
        """Return the AP of these versions of the queries."""
        return self.subject.average_precision(images)


def beyond_noise(before: Floats, after: Floats, pids: NDArray[np.int64]) -> tuple[float, float]:
    """Return after − before in points of mAP, and what of it may be chance.

    The queries of one identity agree, so that identities are what is drawn: the standard error is
    that of a mean of clusters.

    Args:
        before: (Q,) AP in percent.
        after: (Q,) of the same queries.
        pids: (Q,) whom they show.
    """
    paired = after - before
    mean = paired.mean()
    sums, _ = by_identity(paired - mean, pids)
    count = len(sums)
    error = np.sqrt(count / (count - 1) * (sums**2).sum()) / len(paired) if count > 1 else np.inf
    return float(mean), max(SMALLEST, 2 * float(error))


def run_checks(
    examination: Examination,
    *,
    only: Collection[str] | None = None,
    progress: Progress = lambda _s, _t: None,
) -> list[CheckResult]:
    """Return the outcome of the checks, in the order of `CHECKS`.

    Args:
        examination: the defended model, and others.
        only: their names; None for every check.
        progress: told before each check.
    """
    wanted = {name: check for name, check in CHECKS.items() if only is None or name in only}
    results = []
    for place, (name, check) in enumerate(wanted.items()):
        progress(place / len(wanted), name)
        try:
            with torch.random.fork_rng(devices=[]):
                # A random guard draws the same numbers whichever checks were made before.
                torch.manual_seed(examination.subject.seed)
                results.append(check(examination))
        except BenchboxError as error:
            says = f"the check could not be made: {error}"[:500]
            results.append(CheckResult(name=name, outcome="fail", says=says))
    return results


def gradients(exam: Examination) -> CheckResult:
    """Every query has a finite gradient that is not zero, where the attack starts and near it."""
    subject = exam.subject
    starts = subject.starts()
    zero = torch.zeros(len(subject.queries), dtype=torch.bool)
    broken = zero.clone()
    for points in starts:
        for start in range(0, len(points), subject.batch_size):
            rows = slice(start, start + subject.batch_size)
            flat = _gradient(subject, points[rows], rows).flatten(1)
            finite = flat.isfinite().all(1)
            broken[rows] |= ~finite
            zero[rows] |= finite & (flat.abs().amax(1) == 0)
    queries, blind, wrong = len(subject.queries), int(zero.sum()), int(broken.sum())
    fine = wrong == 0 and blind <= _ZERO_SHARE * queries
    return CheckResult(
        name="gradients",
        outcome="pass" if fine else "fail",
        says=f"{blind} of {queries} queries have a gradient of zero, {wrong} one that is not "
        "finite" + ("." if fine else ": the attack is blind there."),
        numbers={"queries": queries, "zero": blind, "not_finite": wrong},
    )


def more_steps(exam: Examination) -> CheckResult:
    """Four times the steps do not help the defender, nor find much that a guard hid from fewer.

    A model alone may lose to a longer attack what it likes: barely trained ones do (Origin, after
    12 epochs on 16 identities, falls from 10.4 to 3.3), and that is weakness, not a gradient that
    points elsewhere.
    """
    steps = exam.subject.attack.steps * LONGER
    (images,) = exam.subject.attacked(steps=steps)
    few, many = exam.white_box, exam.under(images)
    gain, noise = exam.change(few, many)
    lost = -gain
    numbers = {"map": few.mean(), "map_longer": many.mean(), "steps_longer": steps}
    if gain > noise:
        says = f"{steps} steps leave {gain:.1f} points more mAP than {exam.subject.attack.steps}: "
        says += "more steps help the defender, so its gradient misleads the attack."
    elif exam.subject.guard is not None and lost > noise and lost > LOST * few.mean():
        says = f"{steps} steps take mAP from {few.mean():.1f} to {many.mean():.1f}: the protocol's "
        says += "attack has not converged, so much of what it leaves is a masked gradient, not "
        says += "robustness."
    else:
        says = f"{steps} steps take mAP from {few.mean():.1f} to {many.mean():.1f}."
        return CheckResult(name="more_steps", outcome="pass", says=says, numbers=numbers)
    return CheckResult(name="more_steps", outcome="fail", says=says, numbers=numbers)


def larger_budget(exam: Examination) -> CheckResult:
    """A larger budget does not help the defender."""
    budgets = [f"{eps * 255:g}/255" for eps in exam.subject.budgets]
    values = dict(zip(budgets, exam.by_budget, strict=True))
    numbers = {f"map_{text.removesuffix('/255')}": ap.mean() for text, ap in values.items()}
    if len(budgets) < 2:
        says = "the protocol has one budget."
        return CheckResult(name="larger_budget", outcome="not applicable", says=says)
    steps = [exam.change(smaller, larger) for smaller, larger in pairwise(exam.by_budget)]
    shown = ", ".join(f"{ap.mean():.1f} at {text}" for text, ap in values.items())
    return CheckResult(
        name="larger_budget",
        outcome="fail" if any(gain > noise for gain, noise in steps) else "pass",
        says=f"mAP is {shown}.",
        numbers=numbers,
    )


def huge_budget(exam: Examination) -> CheckResult:
    """A budget of 64/255 brings mAP near chance."""
    subject = exam.subject
    steps = subject.attack.steps * LONGER
    # Twice the way across the ball, so that the attack can turn round.
    (images,) = subject.attacked(budgets=[HUGE], steps=steps, step_size=2 * HUGE / steps)
    left = exam.under(images).mean()
    chance, allowed = exam.chance, exam.near_chance
    return CheckResult(
        name="huge_budget",
        outcome="pass" if left <= allowed else "fail",
        says=f"at 64/255 and {steps} steps mAP is {left:.1f}; chance is {chance:.1f}, "
        f"{allowed:.1f} is allowed.",
        numbers={"map_huge": left, "chance": chance, "allowed": allowed},
    )


def random_noise(exam: Examination) -> CheckResult:
    """Random signs of the same size hurt less than the attack."""
    subject = exam.subject
    generator = torch.Generator().manual_seed(subject.seed)
    signs = torch.randint(0, 2, subject.clean.shape, generator=generator) * 2.0 - 1
    noisy = exam.under((subject.clean + subject.budgets[0] * signs).clamp(0, 1))
    gain, noise = exam.change(exam.white_box, noisy)
    # Where noise alone leaves nothing, no attack can be told from it.
    fine = gain > noise or noisy.mean() <= exam.near_chance
    return CheckResult(
        name="random_noise",
        outcome="pass" if fine else "fail",
        says=f"random signs leave {noisy.mean():.1f} mAP, the attack {exam.white_box.mean():.1f}"
        + ("." if fine else ": it is no better than noise."),
        numbers={"map_noise": noisy.mean(), "map": exam.white_box.mean()},
    )


def transfer(exam: Examination) -> CheckResult:
    """Queries attacked on another model hurt less than those attacked on this one."""
    if not exam.sources:
        return CheckResult(name="transfer", outcome="not run", says=f"{NO_SOURCE}.")
    numbers, worst = {"map": exam.white_box.mean()}, []
    shown = []
    for place, (title, source) in enumerate(exam.sources.items()):
        (images,) = source.attacked()
        found = exam.under(images)
        drop, noise = exam.change(found, exam.white_box)
        numbers[f"map_source_{place}"] = found.mean()
        shown.append(f"{found.mean():.1f} under queries attacked on {title}")
        if drop > noise:
            worst.append(title)
    says = f"mAP is {', '.join(shown)}, {exam.white_box.mean():.1f} under its own"
    outcome = "fail" if worst else "pass"
    says += ": its own gradient is the worse guide." if worst else "."
    return CheckResult(name="transfer", outcome=outcome, says=says, numbers=numbers)  # type: ignore[arg-type]


def bpda(exam: Examination) -> CheckResult:
    """Taking the identity for the guard's gradient finds no more."""
    if exam.subject.guard is None:
        return _no_guard("bpda")
    through = straight_through(exam.subject.model, exam.subject.guard)
    return _no_stronger(exam, "bpda", exam.subject.attacked(through=through), "the identity")


def eot(exam: Examination) -> CheckResult:
    """A guard that draws random numbers is attacked through their mean.

    The protocol's attack follows one draw at a time, so such a guard fails, whatever is found here
    (RobustBench takes no randomised defenses at all); the numbers say how much it was.
    """
    if not exam.random:
        says = "the same image gives the same embedding twice: nothing is random."
        return CheckResult(name="eot", outcome="not applicable", says=says)
    (images,) = exam.subject.attacked(through=averaged_over_draws(exam.subject.embed))
    # Both are judged by the mean of several draws, so that luck in the last one counts less.
    single, mean = (_over_draws(exam, found).mean() for found in (exam.swept[0], images))
    return CheckResult(
        name="eot",
        outcome="fail",
        says="the same image gives different embeddings, and the protocol's attack follows one "
        f"draw at a time: it leaves {single:.1f} mAP over 8 draws, one that follows the mean of 8 "
        f"draws {mean:.1f}.",
        numbers={"map": single, "map_eot": mean},
    )


def rank_filter(exam: Examination) -> CheckResult:
    """Taking average pooling for the guard's gradient finds no more."""
    if exam.subject.guard is None:
        return _no_guard("rank_filter")
    through = average_pooled(exam.subject.model, exam.subject.guard)
    found = exam.subject.attacked(through=through)
    return _no_stronger(exam, "rank_filter", found, "3 × 3 average pooling")


CHECKS: dict[str, Callable[[Examination], CheckResult]] = {
    check.__name__: check
    for check in (
        *(gradients, more_steps, larger_budget, huge_budget, random_noise, transfer),
        *(bpda, eot, rank_filter),
    )
}
"""Every check by the name protocols require it under."""


def _no_stronger(exam: Examination, name: str, images: list[Tensor], backward: str) -> CheckResult:
    found = exam.under(images[0])
    drop, noise = exam.change(found, exam.white_box)
    stronger = drop > noise
    return CheckResult(
        name=name,
        outcome="fail" if stronger else "pass",
        says=f"with {backward} for the guard's backward pass the attack leaves {found.mean():.1f} "
        f"mAP, with its own {exam.white_box.mean():.1f}"
        + (": its own masks the gradient." if stronger else "."),
        numbers={"map": exam.white_box.mean(), f"map_{name}": found.mean()},
    )


def _no_guard(name: str) -> CheckResult:
    return CheckResult(name=name, outcome="not applicable", says="the defense has no guard.")


def _gradient(subject: Subject, images: Tensor, rows: slice) -> Tensor:
    """Return the gradient of the attack's objective, zeros where there is none."""
    points = images.to(subject.device).requires_grad_()
    guides = subject.guides[rows].to(subject.device)
    with torch.enable_grad():
        embedded = subject.embed(points)
        if not embedded.requires_grad:
            return torch.zeros_like(points)
        objective = subject.attack.objective(embedded, guides).sum()
        (gradient,) = torch.autograd.grad(objective, points, allow_unused=True)
    return torch.zeros_like(points) if gradient is None else gradient


def _over_draws(exam: Examination, images: Tensor, *, draws: int = 8) -> Floats:
    found: Floats = np.mean([exam.under(images) for _ in range(draws)], axis=0)
    return found
