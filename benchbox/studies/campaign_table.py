"""A campaign on 1 to 512 devices as a table: whole attacks beside attacks in shards."""

from benchbox.studies.campaign import Campaign
from benchbox.tables.table import Header, Table, TableCell


def campaign_table(whole: Campaign, sharded: Campaign, *, about: str) -> Table:
    """Return hours, utilisation and what the store is asked for, on each number of devices.

    Args:
        whole: with attacks as single stages.
        sharded: with long attacks in shards, on the same numbers of devices.
        about: what was planned, and with what rates, in a sentence.
    """
    rows = []
    for one, other in zip(whole.played, sharded.played, strict=True):
        rows.append(
            tuple(
                TableCell(text)
                for text in (
                    f"{one.devices}",
                    f"{one.hours:,.1f}",
                    f"{one.utilisation:.0%}",
                    f"{other.hours:,.1f}",
                    f"{other.utilisation:.0%}",
                    f"{other.megabytes:,.0f}",
                    f"{other.operations:,.1f}",
                )
            )
        )
    return Table(
        "A campaign, played through",
        f"{about} {_limits(whole, sharded)}",
        (
            (
                Header(""),
                Header("Whole attacks", columns=2),
                Header("In shards", columns=2),
                Header("The store, a second", columns=2),
            ),
            tuple(
                Header(label)
                for label in ("Devices", "hours", "busy", "hours", "busy", "MB", "operations")
            ),
        ),
        tuple(rows),
    )


def _limits(whole: Campaign, sharded: Campaign) -> str:
    kinds = sorted(whole.device_hours.items(), key=lambda item: -item[1])
    hours = ", ".join(f"{kind} {value:,.0f}" for kind, value in kinds if value >= 1)
    return (
        f"{whole.tasks:,} stages, {sum(whole.device_hours.values()):,.0f} device-hours ({hours}). "
        f"No cluster is faster than its longest chain: {whole.path_hours:,.1f} hours "
        f"({_chain(whole)}), in shards {sharded.path_hours:,.1f} hours ({_chain(sharded)}). "
        f"The longest single stage takes {whole.longest.seconds / 3600:,.1f} hours "
        f"({whole.longest.title}), in shards {sharded.longest.seconds / 3600:,.1f} "
        f"({sharded.longest.title}). The store holds {whole.held / 1e9:,.0f} GB in the end; "
        f"{whole.moved / 1e9:,.0f} GB pass through it, {sharded.moved / 1e9:,.0f} GB in shards."
    )


def _chain(campaign: Campaign) -> str:
    return " → ".join(f"{task.kind} {task.seconds / 3600:.1f}" for task in campaign.path)
