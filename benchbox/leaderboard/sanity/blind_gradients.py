"""Has the attack a gradient to follow at all?"""

import torch
from torch import Tensor

from benchbox.leaderboard.sanity.attacked_subject import AttackedSubject
from benchbox.leaderboard.sanity.result import CheckResult
from benchbox.leaderboard.sanity.subject import Subject
from benchbox.models.embed import of_rows

_ZERO_SHARE = 0.01
"""The share of queries that may have a gradient of zero."""


def gradients(attacked: AttackedSubject) -> CheckResult:
    """Every query has a finite gradient that is not zero, where the attack starts and near it."""
    subject = attacked.subject
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


def _gradient(subject: Subject, images: Tensor, rows: slice) -> Tensor:
    """Return the gradient of the attack's objective, zeros where there is none."""
    points = images.to(subject.device).requires_grad_()
    guides = subject.guides[rows].to(subject.device)
    with torch.enable_grad():
        embedded = of_rows(subject.embed, rows)(points)
        if not embedded.requires_grad:
            return torch.zeros_like(points)
        objective = subject.attack.objective(embedded, guides).sum()
        (gradient,) = torch.autograd.grad(objective, points, allow_unused=True)
    return torch.zeros_like(points) if gradient is None else gradient
