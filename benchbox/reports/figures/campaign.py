"""The figure of a campaign: hours over devices, and what keeps them from falling."""

from matplotlib.figure import Figure

from benchbox.reports.figures.drawing import (
    ONE_COLUMN,
    TEXT_POINTS,
    new_figure,
    plain_axes,
    style_of,
)
from benchbox.studies.campaign import Campaign


def campaign_hours(whole: Campaign, sharded: Campaign) -> Figure:
    """Return hours over the number of devices, both on logarithmic axes.

    Args:
        whole: with attacks as single stages.
        sharded: with long attacks in shards.
    """
    figure = new_figure(1.6 * ONE_COLUMN, 1.15 * ONE_COLUMN)
    axes = figure.subplots()
    plain_axes(axes, title="A campaign on a cluster", xlabel="devices", ylabel="hours")
    devices = [one.devices for one in whole.played]
    total = sum(whole.device_hours.values())
    axes.plot(devices, [total / n for n in devices], color="0.6", lw=0.8, label="all busy")
    for index, (label, campaign) in enumerate((("whole attacks", whole), ("in shards", sharded))):
        colour, dashes = style_of(index)
        hours = [one.hours for one in campaign.played]
        axes.plot(devices, hours, color=colour, ls=dashes, marker="o", ms=3, label=label)
        axes.axhline(campaign.path_hours, color=colour, ls=dashes, lw=0.6)
        axes.annotate(
            f"longest chain, {label}: {campaign.path_hours:.1f} h",
            (devices[0], campaign.path_hours),
            xytext=(0, 2),
            textcoords="offset points",
            fontsize=TEXT_POINTS - 1,
            color=colour,
        )
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(devices, [str(n) for n in devices])
    axes.minorticks_off()
    axes.legend(fontsize=TEXT_POINTS, frameon=False)
    return figure
