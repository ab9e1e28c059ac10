"""By which training protocol an entry's models were trained, where that tells rows apart."""

from collections.abc import Mapping
from typing import Any

from benchbox.results.training import attack_in_words

_FILE_NAMES = {"as published": "as-published", "equal budget": "equal-budget"}
"""Protocol → what the names of entries' files have of it."""


def training_protocol(grid: Mapping[str, Any], defense: Mapping[str, Any]) -> str:
    """Return ``as published`` or ``equal budget``.

    Empty where the grid states neither, or nothing is attacked in the training: then both
    protocols make the same model.

    Args:
        grid: as a run's record has it.
        defense: likewise.
    """
    protocol = grid.get("training_protocol")
    known = isinstance(protocol, str) and protocol in _FILE_NAMES
    return str(protocol) if known and attack_in_training(defense) else ""


def attack_in_training(defense: Mapping[str, Any]) -> str:
    """Return the attack a defense trains on, as ``8/255, 3 passes``; empty for none."""
    training = defense.get("training")
    return attack_in_words(training.get("attack")) if isinstance(training, dict) else ""


def recipe_name(defense: Mapping[str, Any]) -> str:
    """Return the name of a defense's recipe; empty where it has none."""
    recipe = defense.get("recipe")
    return str(recipe.get("name", "")) if isinstance(recipe, dict) else ""


def step_cost(defense: Mapping[str, Any]) -> float | None:
    """Return the passes of a training step; None where that is not recorded."""
    training = defense.get("training")
    cost = training.get("step_cost") if isinstance(training, dict) else None
    return float(cost) if isinstance(cost, int | float) else None


def name_ending(protocol: str) -> str:
    """Return how the name of an entry's file ends, so that both protocols have a file."""
    return f"--{_FILE_NAMES[protocol]}" if protocol else ""
