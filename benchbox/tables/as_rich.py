"""A table for the terminal."""

import re
from dataclasses import dataclass
from itertools import groupby

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table as RichTable
from rich.text import Text

from benchbox.tables.table import Table

_FOLDS = ((), ("/",), ("/", "±"), ("/", "±", " · "))
"""Where a cell may be folded onto more lines; the first that fits the terminal is taken."""


def table_to_rich(table: Table, *, width: int) -> RichTable:
    """Return the table for a terminal of ``width`` columns.

    Group names head their rows instead of taking columns. Where one line a cell does not fit,
    Rank-1 goes under mAP, and then the deviation under the mean.
    """
    skip, labels = table.group_columns, table.label_columns
    # What is written, before folding: headings first, then the body.
    lines = [table.headings("\n"), *([cell.text for cell in row] for row in table.rows)]
    for folds in _FOLDS:
        between = "\n" if " · " in folds else " · "
        groups = [between.join(table.group_of(row)) for row in table.rows]
        texts = [[_folded(t, folds) if i >= labels else t for i, t in enumerate(r)] for r in lines]
        texts = [row[skip:] for row in texts]
        if _width(texts, groups) <= width:
            break
    headings, *body = texts

    rich = RichTable(
        title=Text(table.title, style="bold"),
        caption=Text(table.caption, style="dim"),
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 0 if folds == _FOLDS[-1] else 1, 0, 0),
        pad_edge=False,
    )
    for column, heading in enumerate(headings, start=skip):
        rich.add_column(Text(heading), justify="left" if column < labels else "right", no_wrap=True)
    rows = zip(table.rows, body, groups, strict=True)
    for group, same in groupby(rows, key=lambda row: row[2]):
        if group:
            rich.add_section()
            rich.add_row(Text(group, style="bold"), *[""] * (len(headings) - 1))
        for cells, shown, _ in same:
            styles = ("bold" if cell.bold else "" for cell in cells[skip:])
            rich.add_row(*(Text(t, style=s) for t, s in zip(shown, styles, strict=True)))
    return rich


@dataclass(frozen=True)
class FittedTable:
    """A table that takes the width of the terminal it is printed on."""

    table: Table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield table_to_rich(self.table, width=options.max_width)


def _folded(text: str, folds: tuple[str, ...]) -> str:
    if "/" in folds:
        # A heading reads 8/255-16, a cell 41.96/50.36 (n=2).
        is_heading = "-" in text
        if not is_heading or " · " in folds:
            text = text.replace("/", "/\n")
        text = re.sub(r"(?<=.)-", "\n-", text)
        text = text.replace(" (", "\n(")
    return text.replace("±", "\n±") if "±" in folds else text


def _width(texts: list[list[str]], groups: list[str]) -> int:
    """Return how many columns rich needs: two between columns and one at either edge."""
    columns = zip(*texts, strict=True)
    widths = [max(len(line) for text in c for line in text.split("\n")) for c in columns]
    widths[0] = max([widths[0], *(len(line) for name in groups for line in name.split("\n"))])
    return sum(widths) + 2 * len(widths)
