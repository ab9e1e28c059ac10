"""Words and numbers that the tables and captions of a run print alike."""

import statistics

import pandas as pd

from benchbox.results.measurements import Measurements
from benchbox.results.record import Names

MISSING = "–"
NEAR_CHANCE = " (near chance)"
"""What stands behind the name of a row whose clean mAP is near chance."""
COUNTED_ONCE = (
    "An identity counts once, whatever its number of queries, so the mean differs from mAP. A "
    "small spread near zero AP is not fairness: there all identities are lost alike."
)
CONVENTION_TITLES = {
    "trapezoid": "trapezoid form (official Market-1501 evaluation)",
    "step": "step form (torchreid, fast-reid)",
}


def mean_and_std(values: list[float], *, decimals: int = 2) -> str:
    """Return ``41.96±0.31``, the sample standard deviation (n − 1), or the one value alone."""
    mean = f"{statistics.fmean(values):.{decimals}f}"
    return mean if len(values) == 1 else f"{mean}±{statistics.stdev(values):.{decimals}f}"


def metric_titles(results: pd.DataFrame, names: Names) -> list[str]:
    """Return what a cell of the tables shows in words, such as ``mAP`` and ``Rank-1``."""
    there = [name for name in names.shown if name in results]
    return [
        name.replace("minp", "mINP") if name in ("mAP", "minp") else name.replace("rank", "Rank-")
        for name in there
    ]


def split_sizes(results: pd.DataFrame, cells: Measurements) -> str:
    """Return ``Market: 3368 queries, 15913 gallery images.`` for each dataset tested on."""
    parts = []
    for name in cells.names.sorted("datasets", (group.test for group in cells.groups)):
        rows = results.loc[results["test_dataset"] == name]
        if not rows.empty:
            queries, gallery = (_span(rows[column]) for column in ("queries", "gallery"))
            title = cells.names.title("datasets", name)
            parts.append(f"{title}: {queries} queries, {gallery} gallery images")
    return f"{'; '.join(parts)}." if parts else ""


def _span(values: "pd.Series[int]") -> str:
    low, high = int(values.min()), int(values.max())
    return f"{low}" if low == high else f"{low} to {high}"
