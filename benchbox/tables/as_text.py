"""A table as Markdown and as CSV."""

import csv
import io
import re

from benchbox.tables.table import Table


def table_to_csv(table: Table) -> str:
    """Return the table as CSV: one header row, group names in every row, no emphasis."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(table.headings())
    writer.writerows([cell.text for cell in row] for row in table.rows)
    return stream.getvalue()


def table_to_markdown(table: Table) -> str:
    """Return the table as GitHub's Markdown, title above and caption below."""
    rules = ["---" if i < table.label_columns else "---:" for i in range(table.width)]
    lines = [_line([escape_markdown(text) for text in table.headings()]), _line(rules)]
    for index, row in enumerate(table.rows):
        texts = [escape_markdown(cell.text) for cell in row]
        texts = [f"**{t}**" if cell.bold else t for t, cell in zip(texts, row, strict=True)]
        known = table.new_from(index)
        lines.append(_line([""] * known + texts[known:]))
    title, caption = escape_markdown(table.title), escape_markdown(table.caption)
    return "\n".join([f"### {title}", "", *lines, "", caption, ""])


def escape_markdown(text: str) -> str:
    """Return the text as GitHub's Markdown shows it literally, inside a table too."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*~\[\]|])", r"\\\1", text)
    # An underscore inside a word starts no emphasis, so Adv_train stays readable in the source.
    text = re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", text)
    return re.sub(r"\s+", " ", text)


def _line(texts: list[str]) -> str:
    return f"| {' | '.join(texts)} |"
