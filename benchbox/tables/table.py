"""A table once; the files beside this one write it as Markdown, CSV, LaTeX and HTML."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Header:
    """A header cell. An empty text under a cell continues that cell downwards.

    Attributes:
        text: the words that are printed.
        columns: how many columns the cell spans.
    """

    text: str
    columns: int = 1


@dataclass(frozen=True, slots=True)
class TableCell:
    """A body cell: its words, and whether they are printed in bold."""

    text: str
    bold: bool = False


@dataclass(frozen=True)
class Table:
    """An immutable table.

    Attributes:
        title: the heading, a few words.
        caption: what one must know to read the numbers.
        header: rows of cells whose spans add up to the width.
        rows: the body; every row has the full width.
        group_columns: how many leading columns name the group a row is in. Groups are set off by
            rules, and their names are printed once.
        label_columns: how many leading columns hold text rather than values, the group's included.
        on_page: what of the caption stands under the table on a page that says the conventions of
            all its tables once; None for the whole caption.

    Raises:
        ValueError: a row has another width than the rest.
    """

    title: str
    caption: str
    header: tuple[tuple[Header, ...], ...]
    rows: tuple[tuple[TableCell, ...], ...]
    group_columns: int = 0
    label_columns: int = 1
    on_page: str | None = None

    def __post_init__(self) -> None:
        widths = {sum(cell.columns for cell in row) for row in self.header}
        widths |= {len(row) for row in self.rows}
        if len(widths) != 1:
            raise ValueError(f"{self.title}: rows have different widths: {sorted(widths)}")

    @property
    def width(self) -> int:
        """The number of columns."""
        return sum(cell.columns for cell in self.header[0])

    def header_row(self, level: int) -> list[str]:
        """Return the texts of a header row, one per column; none where there is no such row."""
        if level >= len(self.header):
            return []
        return [cell.text for cell in self.header[level] for _ in range(cell.columns)]

    def headings(self, separator: str = " ") -> list[str]:
        """Return one heading per column, the header's rows joined by ``separator``."""
        spread = [self.header_row(level) for level in range(len(self.header))]
        columns = zip(*spread, strict=True)
        return [separator.join(text for text in texts if text) for texts in columns]

    def group_of(self, row: tuple[TableCell, ...]) -> tuple[str, ...]:
        """Return the names of the group a row is in, outermost first."""
        return tuple(cell.text for cell in row[: self.group_columns])

    def new_from(self, index: int) -> int:
        """Return the first column of row ``index`` whose group is not the previous row's.

        It is 0 for the first row, and ``group_columns`` where the group goes on.
        """
        if index == 0:
            return 0
        group, previous = self.group_of(self.rows[index]), self.group_of(self.rows[index - 1])
        pairs = zip(group, previous, strict=True)
        return next((level for level, (a, b) in enumerate(pairs) if a != b), len(group))
