"""The sanity checks (Carlini et al. 2019, "On Evaluating Adversarial Robustness", and after them).

Each compares two ways of treating the same queries. A difference counts when it exceeds
`SMALLEST` points of mAP and twice its standard error over the queries, paired.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from benchbox.data.images import to_unit
from benchbox.errors import BenchboxError
from benchbox.leaderboard.check_result import CheckResult
from benchbox.leaderboard.sanity.backward import (
    average_pooled,
    averaged_over_draws,
    straight_through,
)
from benchbox.leaderboard.sanity.subject import Floats, Subject

Progress = Callable[[float, str], None]
"""Told a share in [0, 1] and what comes next."""

SMALLEST = 1.0
"""Points of mAP below which no difference counts."""

LONGER = 4
"""How many times the protocol's steps the long attack takes."""

LOST = 1 / 3
"""The share of its mAP a guard may lose to the long attack: in measured runs adversarial training
loses a tenth, BS+MS two thirds."""

HUGE = 64 / 255
"""A budget in which an image can be made to look like anything."""

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
    def by_budget(self) -> list[Floats]:
        """AP under the protocol's attack at each budget, the smallest first."""
        subject = self.subject
        swept = subject.attacked(budgets=subject.budgets)
        return [subject.average_precision(images) for images in swept]

    @property
    def white_box(self) -> Floats:
        """AP under the protocol's attack at the smallest budget."""
        return self.by_budget[0]

    def under(self, images: Tensor) -> Floats:
        """Return the AP of these versions of the queries."""
        return self.subject.average_precision(images)


def run_checks(
    subject: Subject, sources: Mapping[str, Subject], *, progress: Progress = lambda _s, _t: None
) -> list[CheckResult]:
    """Return the outcome of every check, in the order of `CHECKS`.

    Args:
        subject: the defended model.
        sources: other models, see `Examination`.
        progress: told before each check.
    """
    examination = Examination(subject, sources)
    results = []
    for place, (name, check) in enumerate(CHECKS.items()):
        progress(place / len(CHECKS), name)
        try:
            results.append(check(examination))
        except BenchboxError as error:
            says = f"the check could not be made: {error}"[:500]
            results.append(CheckResult(name=name, outcome="fail", says=says))
    return results


def gradients(exam: Examination) -> CheckResult:
    """Every query has a finite gradient that is not zero."""
    subject = exam.subject
    zero = broken = 0
    for start in range(0, len(subject.queries), subject.batch_size):
        rows = slice(start, start + subject.batch_size)
        points = to_unit(subject.queries[rows]).to(subject.device).requires_grad_()
        guides = subject.guides[rows].to(subject.device)
        with torch.enable_grad():
            embedded = subject.embed(points)
            if not embedded.requires_grad:
                zero += len(points)
                continue
            objective = subject.attack.objective(embedded, guides).sum()
            (gradient,) = torch.autograd.grad(objective, points, allow_unused=True)
        if gradient is None:
            zero += len(points)
            continue
        flat = gradient.flatten(1)
        finite = flat.isfinite().all(1)
        broken += int((~finite).sum())
        zero += int((finite & (flat.abs().amax(1) == 0)).sum())
    queries = len(subject.queries)
    fine = broken == 0 and zero <= _ZERO_SHARE * queries
    return CheckResult(
        name="gradients",
        outcome="pass" if fine else "fail",
        says=f"{zero} of {queries} queries have a gradient of zero, {broken} one that is not "
        "finite" + ("." if fine else ": the attack is blind there."),
        numbers={"queries": queries, "zero": zero, "not_finite": broken},
    )


def more_steps(exam: Examination) -> CheckResult:
    """Four times the steps do not help the defender, nor find much that a guard hid from fewer.

    A model alone may lose to a longer attack what it likes: that is weakness, which its numbers
    show less of, not a gradient that points elsewhere.
    """
    steps = exam.subject.attack.steps * LONGER
    (images,) = exam.subject.attacked(steps=steps)
    few, many = exam.white_box, exam.under(images)
    gain, noise = _difference(few, many)
    lost = -gain
    numbers = {"map": few.mean(), "map_longer": many.mean(), "steps_longer": steps}
    if gain > noise:
        says = f"{steps} steps leave {gain:.1f} points more mAP than {exam.subject.attack.steps}: "
        says += "more steps help the defender, so its gradient misleads the attack."
    elif exam.subject.guard is not None and lost > noise and lost > LOST * few.mean():
        says = (
            f"{steps} steps take mAP from {few.mean():.1f} to {many.mean():.1f}: behind the guard "
        )
        says += "the protocol's attack has not converged, so much of what it leaves is a masked "
        says += "gradient, not robustness."
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
    gain, noise = _difference(exam.by_budget[0], exam.by_budget[-1])
    shown = ", ".join(f"{ap.mean():.1f} at {text}" for text, ap in values.items())
    return CheckResult(
        name="larger_budget",
        outcome="fail" if gain > noise else "pass",
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
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(len(subject.queries), subject.gallery.shape[1], generator=generator)
    chance = subject.ranked(torch.nn.functional.normalize(drawn)).mean()
    allowed = 2 * chance + SMALLEST
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
    gain, noise = _difference(noisy, exam.white_box)
    return CheckResult(
        name="random_noise",
        outcome="fail" if gain > noise else "pass",
        says=f"random signs leave {noisy.mean():.1f} mAP, the attack {exam.white_box.mean():.1f}.",
        numbers={"map_noise": noisy.mean(), "map": exam.white_box.mean()},
    )


def transfer(exam: Examination) -> CheckResult:
    """Queries attacked on another model hurt less than those attacked on this one."""
    if not exam.sources:
        says = "the run has no other model to take queries from."
        return CheckResult(name="transfer", outcome="not applicable", says=says)
    numbers, worst = {"map": exam.white_box.mean()}, []
    shown = []
    for place, (title, source) in enumerate(exam.sources.items()):
        (images,) = source.attacked()
        found = exam.under(images)
        drop, noise = _difference(found, exam.white_box)
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
    """A guard that draws random numbers is attacked through their mean."""
    subject = exam.subject
    few = to_unit(subject.queries[:8]).to(subject.device)
    with torch.no_grad():
        same = torch.equal(subject.embed(few), subject.embed(few))
    if same:
        says = "the same image gives the same embedding twice: nothing is random."
        return CheckResult(name="eot", outcome="not applicable", says=says)
    through = averaged_over_draws(subject.embed)
    (images,) = subject.attacked(through=through)
    found = exam.under(images)
    return CheckResult(
        name="eot",
        outcome="fail",
        says=f"the same image gives different embeddings, and the protocol's attack follows one "
        f"draw at a time: it leaves {exam.white_box.mean():.1f} mAP, one that follows the mean of "
        f"8 draws {found.mean():.1f}.",
        numbers={"map": exam.white_box.mean(), "map_eot": found.mean()},
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
    drop, noise = _difference(found, exam.white_box)
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


def _difference(before: Floats, after: Floats) -> tuple[float, float]:
    """Return after − before in points of mAP, and what of it may be chance."""
    paired = after - before
    error = paired.std(ddof=1) / np.sqrt(len(paired)) if len(paired) > 1 else np.inf
    return float(paired.mean()), max(SMALLEST, 2 * float(error))
