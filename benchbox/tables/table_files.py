"""A table as the files that people put into papers."""

from pathlib import Path

from benchbox.files.atomic import write_text
from benchbox.tables.as_latex import table_to_latex
from benchbox.tables.as_text import table_to_csv, table_to_markdown
from benchbox.tables.table import Table


def write_table(table: Table, folder: Path, name: str) -> list[Path]:
    """Write ``name.md``, ``name.csv`` and ``name.tex`` into ``folder``; return them in this order.

    Raises:
        BenchboxError: the folder cannot be written to.
    """
    forms = {
        "md": table_to_markdown(table),
        "csv": table_to_csv(table),
        "tex": table_to_latex(table),
    }
    paths = {folder / f"{name}.{ending}": text for ending, text in forms.items()}
    for path, text in paths.items():
        write_text(path, text)
    return list(paths)
