"""The figures that a run's results.csv and per_id.csv allow."""

from collections.abc import Iterator

import pandas as pd

from attacks import WorstCase
from benchbox.reports.drawings.picture import Drawing
from benchbox.reports.figures import per_identity, robustness_bars
from benchbox.reports.figures.budgets import budget_curves
from benchbox.reports.figures.corruption import corruption_curves
from benchbox.reports.figures.identities import shown_conditions
from benchbox.reports.figures.trade_off import trade_off
from benchbox.reports.figures.worst_case import beside_worst_case
from benchbox.reports.layouts import main_defenses
from benchbox.results.measurements import measurements
from benchbox.results.run_folder import RunFolder

FEW = 6
"""Curves that a panel holds without being crowded."""


def drawings_of_results(run: RunFolder) -> Iterator[Drawing]:
    """Yield the figures that need nothing but the run's tables.

    A run without a model tested on its own dataset has none.
    """
    names = run.record.names
    cells = measurements(run.results, names)
    if not cells.scores:
        return
    shown = " and ".join(cells.condition_title(condition) for condition in shown_conditions(cells))
    own = main_defenses(cells.defenses) if len(cells.defenses) > FEW else list(cells.defenses)
    others = (
        f" {len(own)} of {len(cells.defenses)} defenses: undefended, adversarially trained, DDD, "
        "and any that is not benchbox's own."
        if len(own) < len(cells.defenses)
        else ""
    )
    attacked = any(not condition.is_clean for condition in cells.conditions)
    if attacked:
        yield from _of_attacks(run, shown)
    if any(condition.attack == WorstCase.name for condition in cells.conditions):
        yield _of_the_worst_case(run)
    if run.corruption is not None and not run.corruption.empty:
        yield drawing_of_corruptions(run, run.corruption)
    yield Drawing(
        "per_identity",
        "Each identity's share",
        lambda: (
            per_identity(run.results, run.per_id, names, defenses=own),
            f"AP of every identity, {shown}, each curve sorted on its own; seed {cells.seeds[0]}."
            f"{others}",
        ),
    )


def _of_the_worst_case(run: RunFolder) -> Drawing:
    return Drawing(
        "worst_case",
        "What the literature’s attack leaves out",
        lambda: (
            beside_worst_case(run.results, run.record.names),
            "mAP under the first attack of the table and under the worst case, which knows the "
            "clean gallery; at the right each defense’s place by the one and by the other.",
        ),
    )


def drawing_of_corruptions(run: RunFolder, swept: pd.DataFrame) -> Drawing:
    """Return the figure of each corruption at each severity.

    Args:
        run: for the clean points and the titles.
        swept: its corruption.csv.
    """
    return Drawing(
        "corruption",
        "What each corruption leaves",
        lambda: (
            corruption_curves(swept, run.results, run.record.names),
            "mAP over the severity of each corruption, 0 is clean: all queries are corrupted "
            "alike, the gallery is clean.",
        ),
    )


def _of_attacks(run: RunFolder, shown: str) -> Iterator[Drawing]:
    """Yield the figures of a run that has attacks.

    Args:
        run: what to draw.
        shown: the conditions that the trade-off sets against each other, in words.
    """
    names = run.record.names
    yield Drawing(
        "robustness",
        "What the attacks leave of each defense",
        lambda: (
            robustness_bars(run.results, names),
            "mAP under each attack and budget; clean mAP stands above on an axis of its own.",
        ),
    )
    yield Drawing(
        "budgets",
        "Robustness against the budget",
        lambda: (
            budget_curves(run.results, names),
            "mAP over the attack’s L∞ budget, 0 is clean: a panel a defense, a curve an attack.",
        ),
    )
    yield Drawing(
        "trade_off",
        "What robustness costs",
        lambda: (
            trade_off(run.results, names),
            f"{shown}: right is better on clean queries, up is better under attack.",
        ),
    )
