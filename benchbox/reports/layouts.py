"""The paper's tables as layouts: which rows, of which cells, under which columns."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

from benchbox.results.measurements import Pairs

ABLATION = (
    "metric_at",
    "metric_at_diffusion",
    "metric_at_adversarial",
    "metric_at_meta",
    "metric_at_fnes",
    "ddd",
)


@dataclass(frozen=True)
class Layout:
    """A table of the paper, for whatever run has its rows.

    Attributes:
        file: name of the written files, without ending.
        title: above the table.
        pairs: models tested where they were trained, or elsewhere.
        over: what the upper header names: the ``attack`` over its budgets, as in Tables 2 and 5,
            or the ``budget`` over the attacks, as in Tables 3 and 4.
        rows: names of the defenses it shows; None shows every defense of the run.
        needs: names of which a run must have one, else the table has no point.
        row_heading: over the rows' names.
        row_titles: what a row is called here, where it differs from the other tables.
    """

    file: str
    title: str
    pairs: Pairs = "same"
    over: Literal["attack", "budget"] = "attack"
    rows: tuple[str, ...] | None = None
    needs: tuple[str, ...] = ()
    row_heading: str = "Defense"
    row_titles: Mapping[str, str] = field(default_factory=dict)

    def applies(self, defenses: Collection[str]) -> bool:
        """Return whether a run with these defenses has what the table is about."""
        return not self.needs or any(name in defenses for name in self.needs)


WHITE_BOX = Layout("white_box", "White-box robustness")
"""Table 2."""

LAYOUTS = (
    WHITE_BOX,
    # Table 3.
    Layout(
        "ablation",
        "Ablation of DDD's modules",
        over="budget",
        rows=ABLATION,
        needs=ABLATION[1:-1],
        row_heading="Modules",
        row_titles={"ddd": "All modules"},
    ),
    # Table 4.
    Layout(
        "classifier",
        "Attacking the classifier or the embedding in training",
        over="budget",
        rows=("at_pgd", "metric_at", "ddd"),
        needs=("at_pgd",),
    ),
    # Table 5.
    Layout(
        "transfer",
        "White-box robustness on unseen domains",
        pairs="transfer",
        row_titles={"origin": "None (Origin)"},
    ),
)


def layouts_for(defenses: Collection[str]) -> list[Layout]:
    """Return the tables a run with these defenses has.

    Table 2 takes any defense; it is left out where Tables 3 and 4 show all of them anyway.
    """
    special = [layout for layout in LAYOUTS if layout.rows and layout.applies(defenses)]
    shown = {name for layout in special for name in layout.rows or ()}
    return [
        layout
        for layout in LAYOUTS
        if layout.applies(defenses) and not (layout is WHITE_BOX and shown.issuperset(defenses))
    ]
