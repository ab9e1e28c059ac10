"""The figures that a run's results.csv and per_id.csv allow."""

from collections.abc import Iterator

from benchbox.reports.drawings.picture import Drawing
from benchbox.reports.figures import per_identity, robustness_bars
from benchbox.reports.figures.budgets import budget_curves
from benchbox.reports.figures.identities import shown_conditions
from benchbox.reports.figures.trade_off import trade_off
from benchbox.reports.layouts import main_defenses
from benchbox.reports.tables.wording import CONVENTION_TITLES, split_sizes
from benchbox.results.measurements import Measurements, measurements
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
    yield Drawing(
        "robustness",
        "What the attacks leave of each defense",
        lambda: (
            robustness_bars(run.results, names),
            f"mAP in %; columns read attack, L∞ budget-steps. {how_measured(run, cells)}",
        ),
    )
    yield Drawing(
        "budgets",
        "Robustness against the budget",
        lambda: (
            budget_curves(run.results, names),
            f"mAP in % over the attack's L∞ budget; 0 is clean. {how_measured(run, cells)}",
        ),
    )
    yield Drawing(
        "trade_off",
        "What robustness costs",
        lambda: (
            trade_off(run.results, names),
            f"{shown}: mAP in %, right is better on clean queries, up is better under attack. "
            f"{how_measured(run, cells)}",
        ),
    )
    yield Drawing(
        "per_identity",
        "Each identity's share",
        lambda: (
            per_identity(run.results, run.per_id, names, defenses=own),
            f"AP of every identity (the mean over its queries), {shown}, each curve sorted on its "
            f"own; seed {cells.seeds[0]}.{others} An identity counts once, so the mean differs "
            "from mAP, which counts queries. A small spread near zero says that all identities "
            f"are lost alike, not that the model is fair. {how_measured(run, cells, seeds=False)}",
        ),
    )


def how_measured(run: RunFolder, cells: Measurements, *, seeds: bool = True) -> str:
    """Return seeds, convention and sizes, as every caption ends."""
    listed = ", ".join(map(str, cells.seeds))
    several = f"Mean of seeds {listed}, whiskers ±1 sample standard deviation (n − 1). "
    which = several if len(cells.seeds) > 1 else f"One run, seed {listed}. "
    convention = CONVENTION_TITLES[str(run.results["ap_convention"].iloc[0])]
    return (
        f"{which if seeds else ''}Average precision in {convention}. "
        f"{split_sizes(run.results, cells)} Measured on this machine."
    )
