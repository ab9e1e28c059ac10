"""Writes what a run's folder shows its readers: tables, figures and the one-file report."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import jinja2
from rich.console import RenderableType

from benchbox.errors import BenchboxError
from benchbox.files.atomic import write_text
from benchbox.files.progress import Progress, silent
from benchbox.published.reading import published_folder, read_published
from benchbox.reports.cautions import cautions, describe
from benchbox.reports.drawings.draw_all import Depth, draw_all
from benchbox.reports.drawings.picture import LeftOut
from benchbox.reports.layouts import layouts_for
from benchbox.reports.tables.black_box import black_box_table
from benchbox.reports.tables.by_layout import best_run, over_seeds
from benchbox.reports.tables.compare import compare_table
from benchbox.reports.tables.fairness import fairness
from benchbox.reports.tables.published import published_tables
from benchbox.reports.tables.shared_cells import nothing_shared, shared_cells
from benchbox.results.measurements import measurements
from benchbox.results.record import RunRecord
from benchbox.results.run_folder import RunFolder, read_run
from benchbox.tables.as_html import table_to_html
from benchbox.tables.as_rich import FittedTable
from benchbox.tables.table import Header, Table, TableCell
from benchbox.tables.table_files import write_table


@dataclass(frozen=True)
class Report:
    """A written report.

    Attributes:
        path: the page, ``report.html``.
        left_out: the figures that the page does not have, with the reasons.
    """

    path: Path
    left_out: list[LeftOut]


def run_tables(run: RunFolder) -> dict[str, Table]:
    """Return the tables of a run by file name: the paper's, black-box robustness, fairness.

    With several seeds the paper's stand there twice: over all seeds, and best of them.
    """
    tables: dict[str, Table] = {}
    names = run.record.names
    for layout in layouts_for(set(run.results["defense"])):
        cells = measurements(run.results, names, pairs=layout.pairs, rows=layout.rows)
        if not cells.groups:
            continue
        tables[layout.file] = over_seeds(run.results, names, layout)
        if len(cells.seeds) > 1:
            tables[f"{layout.file}_best"] = best_run(run.results, names, layout)
    if run.black_box is not None and not run.black_box.empty:
        tables["black_box"] = black_box_table(run.black_box, run.results, names)
    if measurements(run.results, names).scores:
        tables["fairness"] = fairness(run.results, run.per_id, names)
    return tables


def write_tables(run: Path) -> list[Path]:
    """Write ``tables/*.{md,csv,tex}``, a table a name; see `run_tables`.

    Raises:
        BenchboxError: the run's folder is malformed or cannot be written to.
    """
    tables = run_tables(read_run(run))
    written = (write_table(table, run / "tables", name) for name, table in tables.items())
    return [path for paths in written for path in paths]


def console_tables(run: Path) -> list[RenderableType]:
    """Return the tables of a run for the terminal, each as wide as the terminal allows.

    Raises:
        BenchboxError: the run's folder is malformed.
    """
    tables = run_tables(read_run(run))
    # Sixteen columns of fairness are for files and the page.
    return [FittedTable(table) for name, table in tables.items() if name != "fairness"]


def write_report(run: Path, *, depth: Depth = "all", progress: Progress = silent) -> Report:
    """Write ``figures/`` and ``report.html``: one file that needs nothing else, asks no network.

    Args:
        run: the run's folder.
        depth: see `Depth`.
        progress: told after each figure.

    Raises:
        BenchboxError: the run's folder is malformed, or the report cannot be written.
    """
    folder = read_run(run)
    names = folder.record.names
    pictures, left_out = draw_all(folder, depth=depth, progress=progress)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("benchbox", "reports"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    record = folder.record
    environment.filters["table_to_html"] = table_to_html
    page = environment.get_template("report.html.j2").render(
        record=record,
        results=len(folder.results),
        device=describe(record.device),
        cautions=cautions(folder),
        tables=run_tables(folder).values(),
        published=published_section(folder),
        figures=[picture for picture in pictures if not picture.is_sheet],
        sheets=[picture for picture in pictures if picture.is_sheet],
        left_out=left_out,
        depth=depth,
        datasets=datasets_table(record),
        digests={names.title("datasets", n): d.digest for n, d in record.datasets.items()},
        overrides=_overrides(folder),
        grid=_lines(record.grid),
        defenses=json.dumps(record.defenses, indent=2) if record.defenses else "",
    )
    path = run / "report.html"
    write_text(path, page)
    return Report(path, left_out)


@dataclass(frozen=True)
class PublishedSection:
    """What papers printed, apart from what was measured.

    Attributes:
        compared: the cells that this run and the papers share, side by side; None for no such cell.
        sentence: how the papers' numbers relate to the run.
        tables: the papers' own tables; none in an installed package without them.
    """

    compared: Table | None = None
    sentence: str = ""
    tables: tuple[Table, ...] = ()


def published_section(run: RunFolder) -> PublishedSection:
    """Return the published numbers beside a run's.

    Raises:
        BenchboxError: the published numbers are there but malformed.
    """
    try:
        folder = published_folder()
    except BenchboxError:
        return PublishedSection()
    published = read_published(folder)
    shared = bool(shared_cells(run, published))
    return PublishedSection(
        compared=compare_table(run, published) if shared else None,
        sentence="What this run shares with them stands above, under “Measured here and published”."
        if shared
        else nothing_shared(run, published),
        tables=tuple(published_tables(published).values()),
    )


def datasets_table(record: RunRecord) -> Table:
    """Return the sizes of the datasets' splits."""
    splits = ("train", "query", "gallery")
    top = [Header("Dataset"), *(Header(split.title(), columns=3) for split in splits)]
    below = [Header(""), *(Header(what) for _ in splits for what in ("images", "ids", "cameras"))]
    rows = []
    for name, dataset in record.datasets.items():
        counts = [dataset.train, dataset.query, dataset.gallery]
        sizes = [count for split in counts for count in (split.images, split.ids, split.cameras)]
        texts = [str(size) if size is not None else "–" for size in sizes]
        title = record.names.title("datasets", name)
        size = f" ({dataset.size})" if dataset.size else ""
        rows.append(tuple(TableCell(text) for text in (title + size, *texts)))
    caption = "Junk images (pid -1) are not counted. Digests: SHA-256 over names and contents."
    return Table("Datasets", caption, (tuple(top), tuple(below)), tuple(rows))


def _overrides(run: RunFolder) -> list[tuple[str, str]]:
    """Return what the grid changed, once per defense and change."""
    defense_of = dict(zip(run.results["cell"], run.results["defense"], strict=True))
    found = {
        (run.record.names.title("defenses", defense_of[cell]), describe(record.overrides))
        for cell, record in run.record.cells.items()
        if record.overrides and cell in defense_of
    }
    return sorted(found)


def _lines(grid: Mapping[str, object]) -> str:
    return "\n".join(f"{key} = {json.dumps(value)}" for key, value in grid.items())
