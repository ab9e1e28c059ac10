"""A table as a piece of an HTML page."""

import html
from itertools import groupby

from markupsafe import Markup

from benchbox.tables.table import Table, TableCell

_DENSE = 12
"""Columns that fit a page of text; a table of more is set smaller."""


def table_to_html(table: Table) -> Markup:
    """Return the table, escaped, in a box that scrolls sideways on a narrow screen.

    Group names head their rows instead of taking columns, so that a phone has room for values. A
    header cell over one column says which in ``data-column``, for the report's sorting.
    """
    title = html.escape(table.title)
    caption = html.escape(table.caption if table.on_page is None else table.on_page)
    dense = ' class="dense"' if table.width > _DENSE else ""
    bodies = groupby(table.rows, key=table.group_of)
    return Markup(  # noqa: S704  every text in it went through html.escape
        f'<figure class="table"><h3>{title}</h3>\n'
        f'<div class="scroll" tabindex="0" role="region" aria-label="{title}">\n<table{dense}>\n'
        f"<thead>\n{_head(table)}\n</thead>\n"
        + "\n".join(_body(table, group, list(rows)) for group, rows in bodies)
        + "\n</table>\n</div>\n"
        + (f"<figcaption>{caption}</figcaption>" if caption else "")
        + "</figure>"
    )


def _head(table: Table) -> str:
    lines = []
    for level, row in enumerate(table.header):
        below = table.header_row(level + 1)
        cells, column = [], 0
        for cell in row:
            index, column = column, column + cell.columns
            if index < table.group_columns or not cell.text:
                continue
            attributes = f' colspan="{cell.columns}"' if cell.columns > 1 else ""
            goes_down = bool(below) and not below[index]
            if goes_down:
                attributes += f' rowspan="{len(table.header) - level}"'
            if cell.columns == 1 and (goes_down or not below):
                attributes += f' data-column="{index - table.group_columns}"'
            cells.append(f'<th scope="col"{attributes}>{html.escape(cell.text)}</th>')
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return "\n".join(lines)


def _body(table: Table, group: tuple[str, ...], rows: list[tuple[TableCell, ...]]) -> str:
    lines = []
    if group:
        name = html.escape(" · ".join(group))
        span = table.width - table.group_columns
        lines.append(
            f'<tr class="group"><th scope="rowgroup" colspan="{span}"><span>{name}</span></th></tr>'
        )
    lines += [f"<tr>{''.join(_cells(table, row))}</tr>" for row in rows]
    return "<tbody>\n" + "\n".join(lines) + "\n</tbody>"


def _cells(table: Table, row: tuple[TableCell, ...]) -> list[str]:
    cells = []
    for column in range(table.group_columns, table.width):
        text = html.escape(row[column].text)
        if "±" in text:
            # A deviation makes the line too long for a column: Rank-1 stands under mAP, and under
            # a number by itself its deviation.
            below = ("/", "/<br>") if "/" in text else ("±", "<br>±")
            text = text.replace(*below).replace(" (", "<br>(")
        elif column >= table.label_columns:
            # Likewise an interval.
            text = text.replace(" [", "<br>[")
        if column == table.group_columns and column < table.label_columns:
            cells.append(f'<th scope="row">{text}</th>')
        elif row[column].bold:
            cells.append(f"<td><b>{text}</b></td>")
        else:
            cells.append(f"<td>{text}</td>")
    return cells
