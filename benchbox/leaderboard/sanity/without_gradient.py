"""What does not follow the model's own gradient, noise or another model's, has to hurt less."""

import torch

from benchbox.data.images import at_size
from benchbox.leaderboard.sanity.attacked_subject import AttackedSubject
from benchbox.leaderboard.sanity.result import CheckResult, Outcome

NO_SOURCE = (
    "the run has no other model to take queries from, and none are stored for its dataset; put "
    "origin (or, for a guard on its weights, adv_train) into the grid"
)


def random_noise(attacked: AttackedSubject) -> CheckResult:
    """Random signs of the same size hurt less than the attack."""
    subject = attacked.subject
    generator = torch.Generator().manual_seed(subject.seed)
    signs = torch.randint(0, 2, subject.clean.shape, generator=generator) * 2.0 - 1
    noisy = attacked.under((subject.clean + subject.budgets[0] * signs).clamp(0, 1))
    own = attacked.white_box
    gain, noise = attacked.change(own, noisy)
    # Where noise alone leaves nothing, no attack can be told from it.
    fine = gain > noise or noisy.mean() <= attacked.near_chance
    return CheckResult(
        name="random_noise",
        outcome="pass" if fine else "fail",
        says=f"random signs leave {noisy.mean():.1f} mAP, the attack {own.mean():.1f}"
        + ("." if fine else ": it is no better than noise."),
        numbers={"map_noise": noisy.mean(), "map": own.mean()},
    )


def transfer(attacked: AttackedSubject) -> CheckResult:
    """Queries attacked on another model hurt less than those attacked on this one."""
    if not attacked.sources:
        return CheckResult(name="transfer", outcome="not run", says=f"{NO_SOURCE}.")
    numbers, worst = {"map": attacked.white_box.mean()}, []
    shown = []
    for place, (title, source) in enumerate(attacked.sources.items()):
        height, width = attacked.subject.queries.shape[2:]
        images = at_size(source(), (height, width))
        found = attacked.under(images)
        drop, noise = attacked.change(found, attacked.white_box)
        numbers[f"map_source_{place}"] = found.mean()
        shown.append(f"{found.mean():.1f} under queries attacked on {title}")
        if drop > noise:
            worst.append(title)
    says = f"mAP is {', '.join(shown)}, {attacked.white_box.mean():.1f} under its own"
    outcome: Outcome = "fail" if worst else "pass"
    says += ": its own gradient is the worse guide." if worst else "."
    return CheckResult(name="transfer", outcome=outcome, says=says, numbers=numbers)
