"""What each row of a table gains over one of them, on the same people, with its interval."""

from benchbox.reports.layouts import Layout
from benchbox.reports.standings import Lead, by_cell, lead
from benchbox.reports.tables.by_layout import condition_columns
from benchbox.reports.tables.training_protocol import protocol_sentence
from benchbox.reports.tables.wording import MISSING
from benchbox.results.measurements import measurements
from benchbox.results.run_folder import RunFolder
from benchbox.tables.table import Header, Table, TableCell


def gains_table(run: RunFolder, layout: Layout) -> Table | None:
    """Return the layout's table with differences to its row ``gains_over`` in the cells.

    Returns:
        None where the layout has no such row, or no block has it and another.
    """
    names = run.record.names
    cells = measurements(run.results, names, pairs=layout.pairs, rows=layout.rows)
    per_id = by_cell(run.per_id)
    conditions, top, below = condition_columns(cells, layout)
    rows = []
    for group in cells.groups:
        if layout.gains_over not in cells.rows_of(group):
            continue
        for defense in cells.rows_of(group):
            if defense == layout.gains_over:
                continue
            title = layout.row_titles.get(defense) or names.title("defenses", defense)
            beside = (*cells.group_titles(group), title)
            pair = (defense, layout.gains_over)
            found = (lead(cells, per_id, group, c, pair=pair) for c in conditions)
            rows.append((*map(TableCell, beside), *map(_cell, found)))
    if not rows:
        return None
    over = names.title("defenses", layout.gains_over)
    labels = ("Model", "Dataset", layout.row_heading)
    return Table(
        title=f"{layout.title}: gain over {over}",
        caption=" ".join(filter(None, (_caption(over), protocol_sentence(names.training)))),
        header=(
            (*(Header(text) for text in labels), *top),
            (*(Header("") for _ in labels), *below),
        ),
        rows=tuple(rows),
        group_columns=2,
        label_columns=len(labels),
    )


def _cell(gain: Lead | None) -> TableCell:
    """Return ``+1.20 [+0.31, +2.04] 3/3``; bold where the interval leaves out 0."""
    if gain is None:
        return TableCell(MISSING)
    seeds = f"{gain.ahead}/{gain.seeds}"
    if gain.interval is None:
        return TableCell(f"{gain.points:+.2f} {seeds}")
    low, high = gain.interval
    text = f"{gain.points:+.2f} [{low:+.2f}, {high:+.2f}] {seeds}"
    return TableCell(text, bold=low > 0 or high < 0)


def _caption(over: str) -> str:
    return (
        f"mAP minus that of {over} with the same seed, mean over the seeds, in percentage points; "
        "in brackets its paired 95% bootstrap interval over identities, each drawn with all its "
        "queries and the same for both rows; behind it in how many seeds the row has more. The "
        "models are taken as given: how far retraining moves a gain, the seeds say. Bold: the "
        "interval leaves out 0. Measured; nothing is from a paper."
    )
