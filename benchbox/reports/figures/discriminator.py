"""The figure of DDD's discriminator: does it learn to tell, and does the encoder fool it?"""

import math
import statistics
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from benchbox.errors import BenchboxError
from benchbox.reports.figures.curves import curve_style, legend_below
from benchbox.reports.figures.drawing import TWO_COLUMNS, new_figure, plain_axes

Log = Sequence[Mapping[str, float]]
"""A training's log: an entry an epoch."""

LOSS, ACCURACY = "discriminator_loss", "discriminator_accuracy"
"""What such a log calls the two."""

BLIND = {LOSS: 2 * math.log(2), ACCURACY: 0.5}
"""Both of a discriminator that cannot tell: Eq. 6 with D = 1/2 everywhere."""


def discriminator_curves(logs: Mapping[str, Sequence[Log]]) -> Figure:
    """Return D's loss (Eq. 6) and accuracy over the epochs, a curve per row.

    Each batch is judged before D learns from it. A dotted line is a D that cannot tell. With
    several seeds a point is their mean and its whisker one sample standard deviation (n − 1).

    Args:
        logs: title → a log per seed, whose entries have both.

    Raises:
        BenchboxError: there is no log, or seeds of one row were trained for different epochs.
    """
    if not logs:
        raise BenchboxError("no training log of this run has a discriminator.")
    figure = new_figure(TWO_COLUMNS, 2.2)
    panels = figure.subplots(1, 2)
    for axes, key in zip(panels, BLIND, strict=True):
        for place, (title, of_seeds) in enumerate(logs.items()):
            if len({len(log) for log in of_seeds}) > 1:
                raise BenchboxError(f"{title}: its seeds were trained for different epochs.")
            values = [[entry[key] for entry in epoch] for epoch in zip(*of_seeds, strict=True)]
            axes.errorbar(
                range(1, len(values) + 1),
                [statistics.fmean(epoch) for epoch in values],
                yerr=[statistics.stdev(epoch) if len(epoch) > 1 else 0.0 for epoch in values],
                elinewidth=0.7,
                capsize=1.5,
                **curve_style(place),
            )
        axes.axhline(BLIND[key], color="0.4", linewidth=0.8, linestyle=":")
        axes.xaxis.get_major_locator().set_params(integer=True)
        name = "loss" if key == LOSS else "accuracy"
        plain_axes(axes, title=f"Discriminator's {name}", xlabel="Epoch", ylabel="")
    handles = [panels[0].errorbar([], [], yerr=[], **curve_style(i)) for i in range(len(logs))]
    legend_below(figure, handles, list(logs))
    return figure


def discriminator_caption() -> str:
    """Return what one must know to read :func:`discriminator_curves`."""
    return (
        "What DDD's discriminator makes of clean and adversarial features, a mean over each "
        "epoch's batches, judged before it learns from them. Dotted: it cannot tell (loss 2 ln 2, "
        "accuracy one half), where the encoder wants it. Whiskers ±1 sample standard deviation "
        "over seeds."
    )
