"""The table of fairness: how evenly a defense serves identities, clean and attacked."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchbox.reports.tables.caption import reversed_in
from benchbox.reports.tables.wording import (
    CONVENTION_TITLES,
    COUNTED_ONCE,
    MISSING,
    NEAR_CHANCE,
    mean_and_std,
    split_sizes,
)
from benchbox.results.conditions import Condition
from benchbox.results.measurements import Measurements, Pairs, Place, measurements
from benchbox.results.near_chance import collapsed_seeds
from benchbox.results.record import Names
from benchbox.statistics.fairness import STATISTICS, spread
from benchbox.tables.table import Header, Table, TableCell

_STATISTICS_MEAN = (
    "Over the identities with a valid match: mean, sample standard deviation (n − 1) and mean of "
    "the worst tenth (the ⌈n/10⌉ identities with the lowest AP), all in %; Gini coefficient from 0 "
    "(all alike) towards 1, undefined where the mean is 0. Each attack at its smallest budget."
)
_DECIMALS = (2, 2, 2, 3)
_TITLES = {
    "same": "Fairness across identities",
    "transfer": "Fairness across identities on unseen domains",
}


def fairness(
    results: pd.DataFrame, per_id: pd.DataFrame, names: Names, *, pairs: Pairs = "same"
) -> Table:
    """Return the spread of AP over identities, clean and under each attack's smallest budget.

    Each number is computed within a seed; with several seeds a cell is mean±std over them, the
    sample standard deviation (n − 1). A mean over fewer seeds than the table's gives its n.

    Args:
        results: results.csv, as :func:`benchbox.results.run_folder.read_results` returns it.
        per_id: per_id.csv.
        names: titles, order and plan.
        pairs: ``same`` for models tested where they were trained, ``transfer`` for the others.

    Raises:
        BenchboxError: two rows have the same place in the table.
    """
    cells = measurements(results, names, pairs=pairs)
    conditions = smallest_budgets(cells)
    values = {str(cell): rows["ap"].to_numpy() for cell, rows in per_id.groupby("cell")}
    top = [Header(text) for text in ("Model", "Dataset", "Defense")]
    below = [Header("") for _ in top]
    for condition in conditions:
        top.append(Header(cells.condition_title(condition), columns=len(STATISTICS)))
        below += [Header(text) for text in STATISTICS]
    rows = []
    for group in cells.groups:
        for defense in cells.rows_of(group):
            mark = NEAR_CHANCE if collapsed_seeds(cells, group, defense) else ""
            texts = [*cells.group_titles(group), names.title("defenses", defense) + mark]
            for condition in conditions:
                texts += _texts(cells, (group, defense, condition), values)
            rows.append(tuple(TableCell(text) for text in texts))
    return Table(
        _TITLES[pairs],
        _caption(results, cells, values),
        (tuple(top), tuple(below)),
        tuple(rows),
        group_columns=2,
        label_columns=3,
        on_page=f"{_STATISTICS_MEAN} {_identities(cells, values)}".strip(),
    )


def smallest_budgets(cells: Measurements) -> list[Condition]:
    """Return clean and each attack at its smallest budget, in the order of the table."""
    first: dict[str, Condition] = {}
    for condition in cells.conditions:
        first.setdefault(condition.attack, condition)
    return list(first.values())


def _texts(cells: Measurements, place: Place, values: dict[str, NDArray[np.float64]]) -> list[str]:
    """Return what stands under the statistics of one place."""
    scores = cells.at(*place).values()
    by_seed = [spread(values[score.cell]) for score in scores if score.cell in values]
    columns = list(zip(*by_seed, strict=True)) or [()] * len(STATISTICS)
    return [
        _over_seeds(column, decimals=decimals, expected=cells.expected[place[:2]])
        for column, decimals in zip(columns, _DECIMALS, strict=True)
    ]


def _over_seeds(values: Sequence[float], *, decimals: int, expected: int) -> str:
    defined = [value for value in values if not math.isnan(value)]
    if not defined:
        return MISSING
    return mean_and_std(defined, decimals=decimals) + (
        f" (n={len(defined)})" if len(defined) < expected else ""
    )


def _caption(
    results: pd.DataFrame, cells: Measurements, values: dict[str, NDArray[np.float64]]
) -> str:
    conventions = sorted({CONVENTION_TITLES.get(c, c) for c in results["ap_convention"]})
    seeds = ", ".join(map(str, cells.seeds))
    how = (
        f"One run per cell, seed {seeds}."
        if len(cells.seeds) == 1
        else "Each number is computed within a seed, then mean±sample standard deviation (n − 1) "
        f"over n = {len(cells.seeds)} seeds ({seeds})."
    )
    return (
        "Average precision per identity (the mean over its queries) in "
        f"{' and '.join(conventions)}, measured on this machine. {_STATISTICS_MEAN} "
        f"{COUNTED_ONCE} Queries are attacked, the gallery stays clean{reversed_in(cells)}. {how} "
        f"{_identities(cells, values)}{split_sizes(results, cells)} {MISSING}: not measured or "
        "undefined."
    )


def _identities(cells: Measurements, values: dict[str, NDArray[np.float64]]) -> str:
    """Return ``Market: 750 identities.`` for each dataset tested on."""
    counts: dict[str, set[int]] = {}
    for (group, _, _), by_seed in cells.scores.items():
        for score in by_seed.values():
            if score.cell in values:
                counts.setdefault(group.test, set()).add(len(values[score.cell]))
    parts = []
    for name in cells.names.sorted("datasets", counts):
        low, high = min(counts[name]), max(counts[name])
        count = f"{low}" if low == high else f"{low} to {high}"
        parts.append(f"{cells.names.title('datasets', name)}: {count} identities")
    return f"{'; '.join(parts)}. " if parts else ""
