"""A board in words: what its protocol asks for, what attacks and checks are called."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

from attacks import AnyAttack, WorstCase
from benchbox.leaderboard.board_dataset import ProtocolDataset
from benchbox.leaderboard.board_protocol import Protocol
from benchbox.leaderboard.entry.record import Dataset, Status
from benchbox.results.conditions import Condition, fraction_of_255
from benchbox.results.measurements import Group

STATUS: Mapping[Status, str] = {
    "ok": "every sanity check that applies passed",
    "suspect": "a sanity check failed: the attack may have been blind, so it is not ranked",
    "unchecked": "no sanity check failed, but one was not run",
}

TRAINING_PROTOCOLS: Mapping[str, str] = {
    "as published": "as published: its own attack, steps and losses; deviations stand in the grid.",
    "equal budget": "at equal budget: with the attack that all such rows of its grid train on.",
}
"""What each training protocol means, behind “Trained”."""

CHECK_TITLES: Mapping[str, str] = {
    "gradients": "Gradients are finite and not zero",
    "more_steps": "More steps do not help the defender, nor find what a guard hid",
    "larger_budget": "A larger budget does not help the defender",
    "huge_budget": "A budget of 64/255 brings mAP near chance",
    "random_noise": "Random noise hurts less than the attack",
    "transfer": "Queries attacked on another model hurt less than its own",
    "bpda": "Taking the identity for the guard's gradient finds no more",
    "eot": "A guard that draws random numbers is attacked through their mean",
    "rank_filter": "Taking average pooling for the guard's gradient finds no more",
    "cheaper_attack": "No cheaper attack finds more than the worst case",
    "longer_attack": "Twice the steps take less than a twentieth off the worst case",
}
"""What each check asks, by its name; another check is called by its name."""

_NUMBERS: Mapping[str, str] = {
    "map": "the protocol's attack",
    "map_longer": "the same, more steps",
    "map_huge": "at 64/255",
    "chance": "chance",
    "allowed": "allowed",
    "map_noise": "random noise",
    "map_bpda": "identity as backward pass",
    "map_eot": "following the mean of draws",
    "map_rank_filter": "average pooling as backward pass",
    "map_worst_case": "the worst case",
    "map_longer_worst_case": "the worst case, twice the steps",
    "map_smooth_ap": "Auto-PGD on the query set",
    "queries": "queries",
    "zero": "gradient of zero",
    "not_finite": "gradient not finite",
}


Attacks = Mapping[str, type[AnyAttack[Any]]]
"""The registry's, by name."""


def attack_title(attacks: Attacks, name: str) -> str:
    """Return what an attack is called; one that no registry has is called by its name."""
    return attacks[name].title if name in attacks else name


def condition_title(attacks: Attacks, condition: Condition) -> str:
    """Return ``Clean`` or ``FNA 8/255-16``."""
    if condition.is_clean:
        return "Clean"
    return f"{attack_title(attacks, condition.attack)} {condition.budget}"


def lowest_title(attacks: Attacks, protocol: Protocol, eps_255: float) -> str:
    """Return what the mAP of each query's lowest AP at a budget is called.

    ``worst case`` is the attack of that name. Where a protocol does not run it, as no version 1
    does, the number is the worst of those that it runs.
    """
    run = [c.attack for c in protocol.conditions if not c.is_clean and c.eps_255 == eps_255]
    if WorstCase.name in run:
        return "worst case"
    return f"worst of {', '.join(attack_title(attacks, name) for name in run)}"


def lowest_groups(attacks: Attacks, protocol: Protocol) -> list[tuple[str, int]]:
    """Return those names over a protocol's budgets, and how many budgets in a row have each."""
    titles = [lowest_title(attacks, protocol, eps_255) for eps_255 in protocol.budgets_255]
    return [(title, len(list(same))) for title, same in groupby(titles)]


def opening(text: str) -> str:
    """Return words as they begin a sentence."""
    return text[:1].upper() + text[1:]


def pair_title(group: Group) -> str:
    """Return the dataset, or ``A → B`` for a model trained on A and tested on B."""
    return group.train if group.train == group.test else f"{group.train} → {group.test}"


def dataset_title(dataset: Dataset | ProtocolDataset) -> str:
    """Return a dataset's name with its size."""
    return f"{dataset.name} ({dataset.size})" if dataset.size else dataset.name


def number_words(numbers: Mapping[str, float]) -> dict[str, str]:
    """Return what the numbers of a check are called, as far as they are known."""
    words = {}
    for key in numbers:
        rest = key.removeprefix("map_")
        if key == "map_longer" and "steps_longer" in numbers:
            words[key] = f"the same, {numbers['steps_longer']:g} steps"
        elif key in _NUMBERS:
            words[key] = _NUMBERS[key]
        elif key.startswith("map_source_") and rest.removeprefix("source_").isdecimal():
            words[key] = f"attacked on other model {int(rest.removeprefix('source_')) + 1}"
        elif key.startswith("map_") and rest.replace(".", "", 1).isdecimal():
            words[key] = f"at {rest}/255"
    return words


def _pixels(protocol: Protocol) -> str:
    if protocol.image_size is None:
        return "images of any size"
    height, width = protocol.image_size
    return f"{height} × {width} pixels"


def protocol_words(attacks: Attacks, protocol: Protocol) -> list[tuple[str, str]]:
    """Return a protocol as headings with a sentence each."""
    worst = WorstCase.name
    titles = _listed([attack_title(attacks, name) for name in protocol.attacks if name != worst])
    budgets = _listed([fraction_of_255(budget) for budget in protocol.budgets_255])
    required = _listed([dataset_title(d) for d in protocol.datasets if d.required])
    optional = _listed([dataset_title(d) for d in protocol.datasets if not d.required])
    seeds = len(protocol.seeds)
    guides = (
        "as in the reference code"
        if protocol.guides == "reference"
        else "a query's own embedding is left out"
    )
    return [
        ("Datasets", required + (f"; optional: {optional}" if optional else "")),
        (
            "Network",
            f"{_listed(list(protocol.backbones)) or 'any backbone'}, {_pixels(protocol)}",
        ),
        (
            "Attacks",
            f"{titles} on the queries, inside an L∞ ball of {budgets}, {protocol.steps} steps "
            f"of {protocol.step_size}, {protocol.distance} distance, guides {guides}, "
            f"{protocol.precision}"
            + (_worst_case(attacks, protocol) if worst in protocol.attacks else ""),
        ),
        (
            "Numbers",
            f"mAP ({protocol.ap} average precision) and Rank-1 in %, mean over "
            + (f"{seeds} models, seeds " if seeds > 1 else "one model, seed ")
            + f"{_listed([str(seed) for seed in protocol.seeds])}; the interval is a 95% "
            "bootstrap over identities",
        ),
        (
            "Ranking",
            f"by the {lowest_title(attacks, protocol, protocol.budgets_255[0])} at the smallest "
            "budget: each query under the attack that hurts it most, then the mean over queries. "
            "Entries are one group until an interval no longer overlaps that of the group’s first",
        ),
        ("Sanity checks", _listed(list(protocol.required_checks)) or "none"),
        ("Rerun tolerance", f"{protocol.rerun_tolerance:g} mAP"),
    ]


def _worst_case(attacks: Attacks, protocol: Protocol) -> str:
    """Return how the attack of that name is run."""
    budgets = [fraction_of_255(float(b * 255)) for b in protocol.fractions_of(WorstCase.name)]
    tier = protocol.parameters_of(WorstCase.name).get("tier", WorstCase.tier)
    return (
        f"; {attack_title(attacks, WorstCase.name)} ({tier}) at {_listed(budgets)}, which also "
        "knows the clean gallery, and counts each query as the worst of all attacks leaves it"
    )


def shared_words(
    attacks: Attacks, protocols: Sequence[Protocol]
) -> list[tuple[str, list[tuple[str, list[str]]]]]:
    """Return what all boards ask for once, and what differs by the boards that ask for it.

    Args:
        attacks: the registry's.
        protocols: of the boards.

    Returns:
        (heading, [(sentence, titles of the boards it holds for)]) in the order of
        `protocol_words`; the titles are empty where all boards agree.
    """
    found: dict[str, dict[str, list[str]]] = {}
    for protocol in protocols:
        for heading, words in protocol_words(attacks, protocol):
            found.setdefault(heading, {}).setdefault(words, []).append(protocol.title)
    return [
        (heading, [(words, titles if len(by) > 1 else []) for words, titles in by.items()])
        for heading, by in found.items()
    ]


def duration(seconds: float | None) -> str:
    """Return a time span as a reader says it."""
    if seconds is None:
        return "not recorded"
    if seconds < 120:
        return f"{seconds:.3g} s"
    if seconds < 7_200:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3_600:.1f} h"


def moment(time: datetime) -> str:
    """Return a time to the minute, with its zone."""
    return time.strftime("%Y-%m-%d %H:%M %Z").strip()


def _listed(items: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(items[:-1]), items[-1]))) if items else ""
