"""Is the worst case the worst? A cheaper attack must not find more, nor a longer one much more."""

from benchbox.leaderboard.sanity.attacked_subject import AttackedSubject
from benchbox.leaderboard.sanity.inside_attacks import smooth_ap, worst_case
from benchbox.leaderboard.sanity.result import CheckResult

LEFT = 0.05
"""The share of its mAP that a longer worst case may take off."""
SMALLEST_LEFT = 0.1
"""Points of mAP below which no loss counts: a hundred queries at chance scatter as much."""

_NONE = "the protocol does not rank by the worst case at its smallest budget."


def cheaper_attack(attacked: AttackedSubject) -> CheckResult:
    """No cheaper attack finds more than the worst case does, before others are pooled with it."""
    worst = attacked.worst_case
    if worst is None:
        return CheckResult(name="cheaper_attack", outcome="not applicable", says=_NONE)
    own, smooth = attacked.white_box, smooth_ap(attacked.subject)
    titles = {attacked.subject.attack.title: own, "Auto-PGD on the query set": smooth}
    beaten = []
    for title, ap in titles.items():
        drop, noise = attacked.change(ap, worst)
        if drop > noise:
            beaten.append(title)
    shown = ", ".join(f"{title} {ap.mean():.1f}" for title, ap in titles.items())
    return CheckResult(
        name="cheaper_attack",
        outcome="fail" if beaten else "pass",
        says=f"the worst case leaves {worst.mean():.1f} mAP, {shown}"
        + (f": {' and '.join(beaten)} finds more for less." if beaten else "."),
        numbers={"map_worst_case": worst.mean(), "map": own.mean(), "map_smooth_ap": smooth.mean()},
    )


def longer_attack(attacked: AttackedSubject) -> CheckResult:
    """Twice the steps in every part of the worst case take less than a twentieth off."""
    if attacked.worst_case is None:
        return CheckResult(name="longer_attack", outcome="not applicable", says=_NONE)
    usual = attacked.worst_case.mean()
    longer = worst_case(attacked.subject, "longer").mean()
    fine = usual - longer <= max(LEFT * usual, SMALLEST_LEFT)
    return CheckResult(
        name="longer_attack",
        outcome="pass" if fine else "fail",
        says=f"twice the steps take the worst case from {usual:.2f} to {longer:.2f} mAP"
        + ("." if fine else ": it has not converged, so what it leaves is no robustness."),
        numbers={"map_worst_case": usual, "map_longer_worst_case": longer},
    )
