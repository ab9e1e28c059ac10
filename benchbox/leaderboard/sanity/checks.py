"""All sanity checks by name, and what makes them of one defense.

After Carlini et al. 2019, "On Evaluating Adversarial Robustness", and those who followed.
"""

from collections.abc import Callable, Collection

import torch

from benchbox.errors import BenchboxError
from benchbox.files.progress import Progress, silent
from benchbox.leaderboard.sanity.attacked_subject import AttackedSubject
from benchbox.leaderboard.sanity.blind_gradients import gradients
from benchbox.leaderboard.sanity.guard_gradients import bpda, eot, rank_filter
from benchbox.leaderboard.sanity.result import CheckResult
from benchbox.leaderboard.sanity.stronger_attack import huge_budget, larger_budget, more_steps
from benchbox.leaderboard.sanity.without_gradient import random_noise, transfer
from benchbox.leaderboard.sanity.worst_of_all import cheaper_attack, longer_attack

CHECKS: dict[str, Callable[[AttackedSubject], CheckResult]] = {
    check.__name__: check
    for check in (
        *(gradients, more_steps, larger_budget, huge_budget, random_noise, transfer),
        *(bpda, eot, rank_filter, cheaper_attack, longer_attack),
    )
}
"""Every check by the name protocols require it under."""


def run_checks(
    attacked: AttackedSubject,
    *,
    only: Collection[str] | None = None,
    progress: Progress = silent,
) -> list[CheckResult]:
    """Return the outcome of the checks, in the order of `CHECKS`.

    Args:
        attacked: the defended model under attack, and others for transfer.
        only: the names of those to make; None for every check.
        progress: called before each check.
    """
    wanted = {name: check for name, check in CHECKS.items() if only is None or name in only}
    results = []
    for place, (name, check) in enumerate(wanted.items()):
        progress(place / len(wanted), name)
        try:
            with torch.random.fork_rng(devices=[]):
                # A random guard draws the same numbers whichever checks were made before.
                torch.manual_seed(attacked.subject.seed)
                results.append(check(attacked))
        except BenchboxError as error:
            says = f"the check could not be made: {error}"[:500]
            results.append(CheckResult(name=name, outcome="fail", says=says))
    return results
