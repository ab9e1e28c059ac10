"""What stands under the tables by layout: how to read them, and what is particular to one."""

import pandas as pd

from benchbox.reports.tables.training_protocol import cost_sentence, protocol_sentence
from benchbox.reports.tables.wording import (
    CONVENTION_TITLES,
    MISSING,
    NEAR_CHANCE,
    metric_titles,
    split_sizes,
)
from benchbox.results.conditions import fraction_of_255
from benchbox.results.measurements import Measurements
from benchbox.results.near_chance import collapsed_seeds
from benchbox.results.record import Names, Stated


def caption_of(results: pd.DataFrame, cells: Measurements, how: str) -> str:
    """Return the whole caption.

    Args:
        results: results.csv.
        cells: what the table shows.
        how: what a cell is: one run, or a mean.
    """
    conventions = sorted({CONVENTION_TITLES.get(c, c) for c in results["ap_convention"]})
    step_sizes = sorted({c.step_size_255 for c in cells.conditions if c.step_size_255})
    steps = ", ".join(fraction_of_255(size) for size in step_sizes)
    attacked = (
        f" Queries are attacked, the gallery stays clean{reversed_in(cells)}; columns read L∞ "
        f"budget-steps{f', step size {steps}' if steps else ''}.{_threats(cells)}{_through(cells)}"
        if any(not condition.is_clean for condition in cells.conditions)
        else ""
    )
    training = (protocol_sentence(cells.names.training), cost_sentence(cells))
    trained = "".join(f" {sentence}" for sentence in training if sentence)
    return (
        f"{'/'.join(metric_titles(results, cells.names))} in %, measured on this machine. "
        f"Average precision in "
        f"{' and '.join(conventions)}.{attacked} {how} {split_sizes(results, cells)} "
        f"Bold: highest mAP of a column within its block.{trained}{own_caption(cells)}"
    )


def own_caption(cells: Measurements) -> str:
    """Return what a caption says of this table alone: what is missing, which models are given."""
    missing = (
        f" Missing: {cells.missing} of {cells.planned} results; {MISSING} is a cell without any."
        if cells.missing
        else ""
    )
    parts = (_given(cells), _trained(cells), _near_chance(cells), _beyond_reach(cells))
    return missing + "".join(parts)


def _beyond_reach(cells: Measurements) -> str:
    """Return which budgets the steps do not come to, where there are such."""
    beyond = [cells.condition_title(c) for c in cells.conditions if c.is_beyond_reach]
    if not beyond:
        return ""
    return (
        f" Not reached: {', '.join(beyond)}; all steps together come to less than the budget, so "
        "that from the clean image a larger one would give the same."
    )


def _near_chance(cells: Measurements) -> str:
    """Return what the mark of a collapsed row means, where a row has it."""
    tested = [
        group.test
        for group in cells.groups
        if any(collapsed_seeds(cells, group, defense) for defense in cells.rows_of(group))
    ]
    if not tested:
        return ""
    chances = ", ".join(
        f"{cells.names.chance[name]:.2f} on {cells.names.title('datasets', name)}"
        for name in dict.fromkeys(tested)
    )
    return (
        f"{NEAR_CHANCE}: clean mAP is near that of a random ranking ({chances}). Such a model "
        "tells nobody apart and has nothing to lose under attack; it is not compared."
    )


def _threats(cells: Measurements) -> str:
    """Return what the attackers know, where one of them knows more than the query set."""
    names = cells.names
    by_threat: dict[str, list[str]] = {}
    for attack in dict.fromkeys(c.attack for c in cells.conditions if not c.is_clean):
        if attack in names.threats:
            by_threat.setdefault(names.threats[attack], []).append(names.title("attacks", attack))
    if set(by_threat) <= {"query"}:
        return ""
    shown = "; ".join(f"{', '.join(titles)}: {threat}" for threat, titles in by_threat.items())
    return f" Threat models: {shown.replace('+', ' + ')}."


def reversed_in(cells: Measurements) -> str:
    """Return under which attacks it is the gallery that is attacked, where there are such."""
    attacks = dict.fromkeys(condition.attack for condition in cells.conditions)
    titles = [
        cells.names.title("attacks", attack)
        for attack in attacks
        if cells.names.threats.get(attack) == "gallery"
    ]
    return f" (under {', '.join(titles)} it is the other way round)" if titles else ""


def _through(cells: Measurements) -> str:
    """Return what it means that an attack stands there through a JPEG, where one does."""
    passed = {cells.names.through.get(condition.attack) for condition in cells.conditions}
    shown = ", ".join(sorted(text for text in passed if text))
    if not shown:
        return ""
    return f" Through {shown}: made straight through it, and ranked as it shows the images."


def _given(cells: Measurements) -> str:
    """Return which rows are models that were trained elsewhere, on what, and how they are used."""
    names = cells.names
    shown = {defense for _, defense in cells.expected}
    rows = [
        f"{names.title('defenses', name)} ({_stated(names, stated)})"
        for name, stated in names.given.items()
        if name in shown
    ]
    if not rows:
        return ""
    return f" Given, not trained by benchbox, one network each: {'; '.join(rows)}."


def _trained(cells: Measurements) -> str:
    """Return how models that benchbox trained are used, where it is not the plain way."""
    names = cells.names
    shown = {defense for _, defense in cells.expected} - set(names.given)
    rows = [row for row in names.rows if row.defense in shown]
    words = []
    if any(row.ranked_by == "cosine" for row in rows):
        words.append("ranked and attacked by the cosine")
    if any(row.flip_test for row in rows):
        words.append("mean of image and mirror")
    return f" Trained by benchbox: {', '.join(words)}." if words else ""


def _stated(names: Names, stated: Stated) -> str:
    words = ["its training data are not stated"]
    if stated.trained_on is not None:
        words = [f"trained on {names.title('datasets', stated.trained_on)} as stated"]
    if stated.hardened:
        words.append(
            f"then hardened by {stated.hardened}, which needs no labels, one for each seed"
        )
    if stated.image_size is not None:
        words.append("{}×{} pixels".format(*stated.image_size))
    if stated.cosine:
        words.append("ranked and attacked by the cosine")
    if stated.flip_test:
        words.append("mean of image and mirror")
    return ", ".join(words)
