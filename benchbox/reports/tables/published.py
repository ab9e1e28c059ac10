"""A paper's own tables, laid out as printed, for a place apart from what was measured."""

from collections.abc import Sequence
from itertools import groupby

from benchbox.published.record import Printed, PublishedSource
from benchbox.reports.tables.wording import MISSING
from benchbox.tables.table import Header, Table, TableCell


def published_tables(published: Sequence[PublishedSource]) -> dict[str, Table]:
    """Return the tables of papers by file name, such as ``zhou2025_table2``.

    They are not a run's: titles begin with ``Published:`` and captions name the source. Rows and
    columns are the paper's, in its order and words; bold type is not kept.
    """
    tables: dict[str, Table] = {}
    for source in published:
        for number in source.about.tables:
            cells: list[Printed] = [*source.cells, *source.accuracies]
            cells = [cell for cell in cells if cell.table == number]
            if cells:
                tables[f"{source.source}_table{number}"] = _lay_out(source, number, cells)
    return tables


def _lay_out(source: PublishedSource, number: str, cells: Sequence[Printed]) -> Table:
    about = source.about
    table = about.tables[number]
    printed = {(cell.row, cell.column): cell.text for cell in cells}
    labels = {cell.row: cell.labels for cell in cells}
    headings = {cell.column: cell.headings for cell in cells}
    texts = [
        (*names, *(printed.get((row, c), MISSING) for c in headings))
        for row, names in labels.items()
    ]
    how = f" Average precision: {about.ap_convention}." if cells[0] in source.cells else ""
    note = f" {table.note}" if table.note else ""
    return Table(
        title=f"Published: Table {number} of {about.citation}",
        caption=(
            f"Published, not measured here. The paper's caption: “{table.title}” {table.values}, "
            f"each {about.reported}, as printed in {about.reference}.{how}{note} “Ours” is the "
            "paper's own method."
        ),
        header=_header(table.labels, list(headings.values())),
        rows=tuple(tuple(map(TableCell, row)) for row in texts),
        group_columns=len(table.labels) - 1,
        label_columns=len(table.labels),
    )


def _header(
    labels: Sequence[str], headings: Sequence[tuple[str, str]]
) -> tuple[tuple[Header, ...], ...]:
    """Return one header row, or two where a heading has a lower part."""
    names = [Header(label) for label in labels]
    if not any(lower for _, lower in headings):
        return ((*names, *(Header(upper) for upper, _ in headings)),)
    top = [Header(upper, len(list(same))) for upper, same in groupby(headings, key=lambda h: h[0])]
    below = [Header(lower) for _, lower in headings]
    return (*names, *top), (*(Header("") for _ in names), *below)
