"""What `run` and `report` end with: tables, figures and report.html."""

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from benchbox.files.console import progress_bar

if TYPE_CHECKING:
    from benchbox.reports.drawings.draw_all import Depth


def write_report_of(
    folder: Path, console: Console, *, depth: "Depth", plugins: tuple[Path, ...] = ()
) -> None:
    """Write a finished run's tables, figures and report, and print the tables."""
    from benchbox.reports.report import write_report
    from benchbox.reports.tables.of_run import console_tables, write_tables

    write_tables(folder)
    with progress_bar(console, "drawing") as progress:
        report = write_report(folder, depth=depth, progress=progress, plugins=plugins)
    for part in console_tables(folder):
        console.print(part)
    for figure in report.left_out:
        text = f"left out: {figure.title}: {figure.reason}"
        console.print(text, highlight=False, markup=False, soft_wrap=True)
    console.print(f"report: {report.path}", highlight=False, soft_wrap=True)
