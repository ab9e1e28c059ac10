"""Writes what a run's folder shows its readers: tables, figures and the one-file report."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2

from benchbox.files.atomic import write_text
from benchbox.files.progress import Progress, silent
from benchbox.reports.cautions import cautions, describe
from benchbox.reports.conventions import ap_form, conventions
from benchbox.reports.drawings.draw_all import Depth, draw_all
from benchbox.reports.drawings.picture import LeftOut
from benchbox.reports.findings import findings
from benchbox.reports.published_section import published_section
from benchbox.reports.tables.of_run import run_tables
from benchbox.results.record import ReadRecord
from benchbox.results.run_folder import RunFolder, read_run
from benchbox.tables.as_html import table_to_html
from benchbox.tables.table import Header, Table, TableCell


@dataclass(frozen=True)
class Report:
    """A written report.

    Attributes:
        path: the page, ``report.html``.
        left_out: the figures that the page does not have, with the reasons.
    """

    path: Path
    left_out: list[LeftOut]


def write_report(
    run: Path,
    *,
    depth: Depth = "all",
    progress: Progress = silent,
    plugins: Sequence[Path] = (),
) -> Report:
    """Write ``figures/`` and ``report.html``: one file that needs nothing else, asks no network.

    Args:
        run: the run's folder.
        depth: see `Depth`.
        progress: told after each figure.
        plugins: files that build the run's given models.

    Raises:
        BenchboxError: the run's folder is malformed, or the report cannot be written.
    """
    folder = read_run(run)
    names = folder.record.names
    pictures, left_out = draw_all(folder, depth=depth, progress=progress, plugins=plugins)
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
        findings=findings(folder),
        cautions=cautions(folder),
        ap_form=ap_form(folder),
        conventions=conventions(folder),
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


def datasets_table(record: ReadRecord) -> Table:
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
