"""Does a guard's gradient mislead the attack? Another backward pass must not find more."""

import numpy as np
from torch import Tensor

from benchbox.leaderboard.sanity.attacked_subject import AttackedSubject
from benchbox.leaderboard.sanity.backward import (
    average_pooled,
    averaged_over_draws,
    straight_through,
)
from benchbox.leaderboard.sanity.result import CheckResult
from benchbox.leaderboard.sanity.subject import Floats


def bpda(attacked: AttackedSubject) -> CheckResult:
    """Taking the identity for the guard's gradient finds no more."""
    if attacked.subject.guard is None:
        return _no_guard("bpda")
    through = attacked.subject.behind(straight_through(attacked.subject.guard))
    return _no_stronger(
        attacked, "bpda", attacked.subject.attacked(through=through), "the identity"
    )


def eot(attacked: AttackedSubject) -> CheckResult:
    """A guard that draws random numbers is attacked through their mean.

    The protocol's attack follows one draw at a time, so such a guard fails, whatever is found here
    (RobustBench takes no randomised defenses at all); the numbers say how much it was.
    """
    if not attacked.random:
        says = "the same image gives the same embedding twice: nothing is random."
        return CheckResult(name="eot", outcome="not applicable", says=says)
    (images,) = attacked.subject.attacked(through=averaged_over_draws(attacked.subject.embed))
    # Both are judged by the mean of several draws, so that luck in the last one counts less.
    single, mean = (_over_draws(attacked, found).mean() for found in (attacked.swept[0], images))
    return CheckResult(
        name="eot",
        outcome="fail",
        says="the same image gives different embeddings, and the protocol's attack follows one "
        f"draw at a time: it leaves {single:.1f} mAP over 8 draws, one that follows the mean of 8 "
        f"draws {mean:.1f}.",
        numbers={"map": single, "map_eot": mean},
    )


def rank_filter(attacked: AttackedSubject) -> CheckResult:
    """Taking average pooling for the guard's gradient finds no more."""
    if attacked.subject.guard is None:
        return _no_guard("rank_filter")
    through = attacked.subject.behind(average_pooled(attacked.subject.guard))
    found = attacked.subject.attacked(through=through)
    return _no_stronger(attacked, "rank_filter", found, "3 × 3 average pooling")


def _no_stronger(
    attacked: AttackedSubject, name: str, images: list[Tensor], backward: str
) -> CheckResult:
    found = attacked.under(images[0])
    drop, noise = attacked.change(found, attacked.white_box)
    stronger = drop > noise
    return CheckResult(
        name=name,
        outcome="fail" if stronger else "pass",
        says=f"with {backward} for the guard's backward pass the attack leaves {found.mean():.1f} "
        f"mAP, with its own {attacked.white_box.mean():.1f}"
        + (": its own masks the gradient." if stronger else "."),
        numbers={"map": attacked.white_box.mean(), f"map_{name}": found.mean()},
    )


def _no_guard(name: str) -> CheckResult:
    return CheckResult(name=name, outcome="not applicable", says="the defense has no guard.")


def _over_draws(attacked: AttackedSubject, images: Tensor, *, draws: int = 8) -> Floats:
    found: Floats = np.mean([attacked.under(images) for _ in range(draws)], axis=0)
    return found
