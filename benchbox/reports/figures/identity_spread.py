"""The figure of bias: whether identities seen more often are found better, attacked or not."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from benchbox.errors import BenchboxError
from benchbox.reports.figures.curves import (
    curve_places,
    curve_style,
    legend_below,
)
from benchbox.reports.figures.drawing import (
    ONE_COLUMN,
    TWO_COLUMNS,
    new_figure,
    plain_axes,
    shortened,
)

_MOST_BINS = 6
_LEAST_IDENTITIES = 8  # in a bin; fewer give no spread worth drawing


def identity_spread(frame: pd.DataFrame) -> Figure:
    """Return mean AP (%) of identities over their number of images, a curve per defense.

    After Zhou et al. 2025, Figs. 2 and 8. A row per group, a panel per condition. Identities are
    binned by their number of images into bins of about equally many identities (quantiles;
    identities with equally many images stay together); a point stands at the bin's mean number of
    images, on a logarithmic axis, and at its mean AP; its whisker is the sample standard deviation
    (n − 1) within the bin.

    Args:
        frame: ``group, defense, condition`` (titles), ``pid``, ``ap`` (0–1), ``images`` (gallery
            images of the identity). The AP of an identity in several seeds is averaged first.

    Raises:
        BenchboxError: there is no row, or an identity without an image.
    """
    if frame.empty:
        raise BenchboxError("no identities to draw a figure of: is the dataset on this machine?")
    if (frame["images"] < 1).any():
        raise BenchboxError("an identity has no gallery image; count the images of the run's own.")
    groups = list(dict.fromkeys(frame["group"]))
    conditions = list(dict.fromkeys(frame["condition"]))
    present = set(frame["defense"])
    every = _in_order(frame["defense"])
    places = curve_places(every, [defense for defense in every if defense in present])
    width = TWO_COLUMNS if len(conditions) > 1 else ONE_COLUMN
    figure = new_figure(width, 2.1 * len(groups))
    grid = figure.subplots(len(groups), len(conditions), squeeze=False, sharex="row", sharey=True)
    for row, group in zip(grid, groups, strict=True):
        own = frame.loc[frame["group"] == group]
        edges = bin_edges(own.drop_duplicates("pid")["images"].to_numpy(dtype=np.float64))
        for axes, condition in zip(row, conditions, strict=True):
            _draw_panel(axes, own.loc[own["condition"] == condition], places, edges)
            plain_axes(
                axes,
                title="\n".join(shortened(text, 44) for text in (group, condition)),
                xlabel="Gallery images of identity",
                ylabel="" if axes is not row[0] else "AP of identity (%)",
            )
        _log_axis(row[0], [x for axes in row for line in axes.lines for x in line.get_xdata()])
        for axes in row:
            axes.tick_params(labelbottom=True)
    bottom, top = grid[0, 0].get_ylim()
    grid[0, 0].set_ylim(min(-3, bottom), max(103, top))
    grid[0, 0].set_yticks(range(0, 101, 25))
    handles = [_curve(grid[0, 0], [], [], [], place) for place in places.values()]
    legend_below(figure, handles, list(places))
    return figure


def identity_spread_caption(frame: pd.DataFrame) -> str:
    """Return what one must know to read :func:`identity_spread`."""
    parts = []
    for group, rows in frame.groupby("group", sort=False):
        images = rows.drop_duplicates("pid")["images"]
        parts.append(f"{group}: {len(images)} identities with {images.min()} to {images.max()}")
    return (
        "AP of test identities against their number of gallery images (all cameras; junk images "
        "not counted). Training and test identities are disjoint in the Market-1501 protocol, so "
        "a test identity has no training images to count. Bins hold about equally many "
        "identities; points are means over a bin's identities, each counted once, whiskers ±1 "
        "sample standard deviation (n − 1) within the bin, set off sideways a little so that they "
        "do not hide each other. An identity's AP is its mean over seeds. "
        f"Gallery images: {'; '.join(parts)}."
    )


def bin_edges(images: np.ndarray) -> np.ndarray:
    """Return the upper ends of bins with about equally many identities each.

    Args:
        images: (N,) images of each identity.

    Returns:
        (B,) rising, the last one the largest count; a bin holds what is above the edge before
        and not above its own.
    """
    bins = min(_MOST_BINS, max(1, len(images) // _LEAST_IDENTITIES))
    # An edge is a count that occurs, so identities with equally many images stay together.
    quantiles = np.quantile(images, np.arange(1, bins + 1) / bins, method="inverted_cdf")
    return np.unique(quantiles)


def _draw_panel(
    axes: Axes, panel: pd.DataFrame, places: Mapping[str, int], edges: np.ndarray
) -> None:
    for rank, (defense, place) in enumerate(places.items()):
        means = panel.loc[panel["defense"] == defense].groupby("pid")[["ap", "images"]].mean()
        if means.empty:
            continue
        bins = means.groupby(np.searchsorted(edges, means["images"].to_numpy(dtype=np.float64)))
        x = bins["images"].mean().to_numpy(dtype=np.float64)
        ap = 100 * bins["ap"].mean().to_numpy(dtype=np.float64)
        deviations = 100 * bins["ap"].std(ddof=1).fillna(0).to_numpy(dtype=np.float64)
        # Whiskers of different defenses stand side by side, within their own bin.
        room = float(np.diff(np.log(x)).min()) if len(x) > 1 else 0.4
        aside = (rank / max(1, len(places) - 1) - 0.5) * min(0.6 * room, 0.05 * len(places))
        _curve(axes, x * np.exp(aside), ap, deviations, place)


def _log_axis(axes: Axes, drawn: Sequence[float]) -> None:
    """Give the x axis, which a row shares, a logarithmic scale with whole numbers at its ticks.

    Args:
        axes: one of the row.
        drawn: where its points stand.
    """
    # A few identities of one size would have no tick beside them.
    low, high = min(drawn), max(drawn)
    widen = max(1.15, 1.6 / math.sqrt(high / low))
    axes.set_xscale("log")
    axes.set_xlim(low / widen, high * widen)
    steps = (1, 2, 5) if high / low > 12 else (1, 2, 3, 5, 7, 15)
    axes.xaxis.set_major_locator(
        FixedLocator([step * 10**power for power in range(7) for step in steps])
    )
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.xaxis.set_minor_locator(NullLocator())


def _curve(
    axes: Axes,
    x: Sequence[float] | np.ndarray,
    y: Sequence[float] | np.ndarray,
    deviations: Sequence[float] | np.ndarray,
    index: int,
) -> ErrorbarContainer:
    style = curve_style(index)
    return axes.errorbar(x, y, yerr=deviations, elinewidth=0.7, capsize=1.5, **style)


def _in_order(defenses: "pd.Series[str]") -> list[str]:
    if isinstance(defenses.dtype, pd.CategoricalDtype):
        return [str(title) for title in defenses.cat.categories]
    return list(dict.fromkeys(defenses))
