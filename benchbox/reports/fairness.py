"""How evenly a defense serves identities: mean, spread, worst decile and Gini of their AP."""

import math
import statistics
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from benchbox.reports.tables import CONVENTION_TITLES, MISSING, split_sizes
from benchbox.results.conditions import Condition
from benchbox.results.measurements import Measurements, Pairs, Place, measurements
from benchbox.results.record import Names
from benchbox.tables.table import Cell, Header, Table

STATISTICS = ("Mean", "Std", "Worst 10%", "Gini")
_DECIMALS = (2, 2, 2, 3)
_TITLES = {
    "same": "Fairness across identities",
    "transfer": "Fairness across identities on unseen domains",
}


def gini(values: ArrayLike) -> float:
    """Return the Gini coefficient of the values: 0 where all are alike, towards 1 for few haves.

    ``G = Σ_ij |x_i − x_j| / (2 n² x̄)``, computed from the sorted values as
    ``Σ_i (2i − n − 1) x_(i) / (n Σ x)``, which is the same number in O(n log n).

    Args:
        values: (N,), not negative.

    Returns:
        a number in [0, 1 − 1/n]; NaN where the mean is 0, since the coefficient is undefined.

    Raises:
        ValueError: there is no value, or one is negative or not finite.
    """
    numbers = np.sort(_numbers(values))
    if numbers[0] < 0:
        raise ValueError(f"the Gini coefficient needs values of at least 0, got {numbers[0]}")
    if numbers[-1] == 0:
        return math.nan
    # Divided by the largest first, so that tiny values do not underflow.
    shares = numbers / numbers[-1]
    n = len(shares)
    weights = 2 * np.arange(1, n + 1) - n - 1
    # Equal values may sum to −1e-17, which would be printed as -0.000.
    return max(0.0, float(weights @ shares / (n * shares.sum())))


def worst_decile(values: ArrayLike) -> float:
    """Return the mean over the ⌈n/10⌉ lowest values.

    Args:
        values: (N,).

    Raises:
        ValueError: there is no value, or one is not finite.
    """
    numbers = np.sort(_numbers(values))
    return float(numbers[: -(-len(numbers) // 10)].mean())


def spread(ap: ArrayLike) -> tuple[float, float, float, float]:
    """Return mean, sample standard deviation (n − 1) and worst decile in %, and Gini in 0–1.

    Args:
        ap: (N,) average precision per identity in 0–1.

    Returns:
        the numbers under :data:`STATISTICS`; NaN where one is undefined: the deviation of a
        single identity, the Gini coefficient of a zero mean.
    """
    numbers = _numbers(ap)
    deviation = float(numbers.std(ddof=1)) if len(numbers) > 1 else math.nan
    return (
        100 * float(numbers.mean()),
        100 * deviation,
        100 * worst_decile(numbers),
        gini(numbers),
    )


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
        for defense in cells.defenses:
            texts = [*cells.group_titles(group), names.title("defenses", defense)]
            for condition in conditions:
                texts += _texts(cells, (group, defense, condition), values)
            rows.append(tuple(Cell(text) for text in texts))
    return Table(
        _TITLES[pairs],
        _caption(results, cells, values),
        (tuple(top), tuple(below)),
        tuple(rows),
        group_columns=2,
        label_columns=3,
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
        _over_seeds(column, decimals=decimals, expected=len(cells.seeds))
        for column, decimals in zip(columns, _DECIMALS, strict=True)
    ]


def _over_seeds(values: Sequence[float], *, decimals: int, expected: int) -> str:
    defined = [value for value in values if not math.isnan(value)]
    if not defined:
        return MISSING
    text = f"{statistics.fmean(defined):.{decimals}f}"
    if len(defined) > 1:
        text += f"±{statistics.stdev(defined):.{decimals}f}"
    return text + (f" (n={len(defined)})" if len(defined) < expected else "")


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
        f"{' and '.join(conventions)}, measured on this machine. Over the identities with a valid "
        "match: mean, sample standard deviation (n − 1) and mean of the worst tenth (the ⌈n/10⌉ "
        "identities with the lowest AP), all in %; Gini coefficient from 0 (all alike) towards 1, "
        "undefined where the mean is 0. An identity counts once, whatever its number of queries, "
        "so the mean differs from mAP. Queries are attacked, the gallery stays clean; each attack "
        f"at its smallest budget. {how} {_identities(cells, values)}{split_sizes(results, cells)} "
        "A small spread near zero AP is not fairness: there all identities are lost alike. "
        f"{MISSING}: not measured or undefined."
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


def _numbers(values: ArrayLike) -> NDArray[np.float64]:
    numbers = np.asarray(values, dtype=np.float64).reshape(-1)
    if not len(numbers) or not np.isfinite(numbers).all():
        raise ValueError("expected at least one value, all of them finite")
    return numbers
