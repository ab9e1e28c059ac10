"""What a run's tables and figures show: which rows, of which cells, under which columns."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter

from benchbox.files.toml import read_toml
from benchbox.results.measurements import Pairs
from defenses import DEFENSES

_PAPER = "zhou2025.toml"


@dataclass(frozen=True)
class Layout:
    """A table for whatever run has its rows.

    Attributes:
        file: name of the written files, without ending.
        title: the words above the table.
        pairs: ``same`` for models tested where they were trained, ``transfer`` for the others.
        over: what the upper row of the header names: the ``attack`` over its budgets, or the
            ``budget`` over the attacks.
        rows: names of the defenses it shows; None shows every defense of the run.
        needs: names of which a run must have one, else the table has no point.
        row_heading: the heading of the column of defenses.
        gains_over: the defense that a table of differences holds all others against; empty for no
            such table.
        row_titles: a defense's name → its title here, where it differs from the other tables'.
    """

    file: str
    title: str
    pairs: Pairs = "same"
    over: Literal["attack", "budget"] = "attack"
    rows: tuple[str, ...] | None = None
    needs: tuple[str, ...] = ()
    row_heading: str = "Defense"
    gains_over: str = ""
    row_titles: Mapping[str, str] = field(default_factory=dict)

    def applies(self, defenses: Collection[str]) -> bool:
        """Return whether a run with these defenses has what the table is about."""
        return not self.needs or any(name in defenses for name in self.needs)


WHITE_BOX = Layout("white_box", "White-box robustness")
"""Every defense of a run, tested where it was trained."""


def layouts_for(defenses: Collection[str]) -> list[Layout]:
    """Return the tables a run with these defenses has.

    `WHITE_BOX` takes any defense; it is left out where the paper's special tables show all of
    them anyway.
    """
    layouts = [layout for layout in (WHITE_BOX, *_paper_layouts()) if layout.applies(defenses)]
    shown = {name for layout in layouts for name in layout.rows or ()}
    return [
        layout for layout in layouts if not (layout is WHITE_BOX and shown.issuperset(defenses))
    ]


def main_defenses(defenses: Sequence[str]) -> list[str]:
    """Return the defenses a crowded figure shows: the paper's references, and the user's own.

    Of our own these are vanilla training, one kind of adversarial training, and DDD. Where none
    of them is there, all are shown.

    Args:
        defenses: the registry names of the run, in order.
    """
    references: list[list[str]] = _paper()["figures"]["references"]
    firsts = (next((name for name in kind if name in defenses), None) for kind in references)
    wanted = set(firsts)
    chosen = [name for name in defenses if name in wanted or name not in DEFENSES]
    return chosen or list(defenses)


@cache
def _paper() -> dict[str, Any]:
    return read_toml(Path(__file__).with_name(_PAPER))


@cache
def _paper_layouts() -> tuple[Layout, ...]:
    return TypeAdapter(tuple[Layout, ...]).validate_python(_paper()["tables"])
