"""An attack with more steps, or in a larger ball, has to leave less."""

from itertools import pairwise

from benchbox.leaderboard.sanity.attacked_subject import AttackedSubject
from benchbox.leaderboard.sanity.result import CheckResult

LONGER = 4
"""How many times the protocol's steps the long attack takes."""

LOST = 1 / 3
"""The share of its mAP a guard may lose to the long attack: on Sidewalk (small) Adv_train loses a
tenth, DAS a seventh, BS+MS two thirds."""

HUGE = 64 / 255
"""A budget in which an image can be made to look like anything."""


def more_steps(attacked: AttackedSubject) -> CheckResult:
    """Four times the steps do not help the defender, nor find much that a guard hid from fewer.

    A model alone may lose to a longer attack what it likes: barely trained ones do (Origin, after
    12 epochs on 16 identities, falls from 10.4 to 3.3), and that is weakness, not a gradient that
    points elsewhere.
    """
    usual = attacked.subject.attack.steps
    steps = usual * LONGER
    (images,) = attacked.subject.attacked(steps=steps)
    few, many = attacked.white_box, attacked.under(images)
    gain, noise = attacked.change(few, many)
    lost = -gain
    numbers = {"map": few.mean(), "map_longer": many.mean(), "steps_longer": steps}
    if gain > noise:
        says = f"{steps} steps leave {gain:.1f} points more mAP than {usual}: "
        says += "more steps help the defender, so its gradient misleads the attack."
    elif attacked.subject.guard is not None and lost > noise and lost > LOST * few.mean():
        says = f"{steps} steps take mAP from {few.mean():.1f} to {many.mean():.1f}: the protocol's "
        says += "attack has not converged, so much of what it leaves is a masked gradient, not "
        says += "robustness."
    else:
        says = f"{steps} steps take mAP from {few.mean():.1f} to {many.mean():.1f}."
        return CheckResult(name="more_steps", outcome="pass", says=says, numbers=numbers)
    return CheckResult(name="more_steps", outcome="fail", says=says, numbers=numbers)


def larger_budget(attacked: AttackedSubject) -> CheckResult:
    """A larger budget does not help the defender."""
    budgets = [f"{eps * 255:g}/255" for eps in attacked.subject.budgets]
    values = dict(zip(budgets, attacked.by_budget, strict=True))
    numbers = {f"map_{text.removesuffix('/255')}": ap.mean() for text, ap in values.items()}
    if len(budgets) < 2:
        says = "the protocol has one budget."
        return CheckResult(name="larger_budget", outcome="not applicable", says=says)
    steps = [attacked.change(smaller, larger) for smaller, larger in pairwise(attacked.by_budget)]
    shown = ", ".join(f"{ap.mean():.1f} at {text}" for text, ap in values.items())
    return CheckResult(
        name="larger_budget",
        outcome="fail" if any(gain > noise for gain, noise in steps) else "pass",
        says=f"mAP is {shown}.",
        numbers=numbers,
    )


def huge_budget(attacked: AttackedSubject) -> CheckResult:
    """A budget of 64/255 brings mAP near chance."""
    subject = attacked.subject
    steps = subject.attack.steps * LONGER
    # Twice the way across the ball, so that the attack can turn round.
    (images,) = subject.attacked(budgets=[HUGE], steps=steps, step_size=2 * HUGE / steps)
    left = attacked.under(images).mean()
    chance, allowed = attacked.chance, attacked.near_chance
    return CheckResult(
        name="huge_budget",
        outcome="pass" if left <= allowed else "fail",
        says=f"at 64/255 and {steps} steps mAP is {left:.1f}; chance is {chance:.1f}, "
        f"{allowed:.1f} is allowed.",
        numbers={"map_huge": left, "chance": chance, "allowed": allowed},
    )
