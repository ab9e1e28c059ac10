"""Writes what a run's folder shows its readers: tables, figures and the one-file report."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import jinja2
from rich.console import RenderableType

from benchbox.errors import BenchboxError
from benchbox.files import write_text
from benchbox.reports.as_rich import FittedTable
from benchbox.reports.black_box import black_box_table
from benchbox.reports.cautions import cautions, describe
from benchbox.reports.figures import per_identity, robustness_bars, save_figure
from benchbox.reports.figures.identities import shown_conditions
from benchbox.reports.layouts import layouts_for
from benchbox.reports.measurements import measurements
from benchbox.reports.record import RunRecord
from benchbox.reports.run_folder import RunFolder, read_run
from benchbox.reports.table import Cell, Header, Table
from benchbox.reports.tables import CONVENTION_TITLES, best_run, over_seeds, split_sizes


@dataclass(frozen=True)
class Picture:
    """A figure as the report embeds it.

    Attributes:
        path: the PNG.
        title: above it.
        caption: below it: what was measured, on what, how.
    """

    path: Path
    title: str
    caption: str

    @property
    def source(self) -> str:
        """The image itself, as a data URL.

        Raises:
            BenchboxError: the file cannot be read.
        """
        try:
            content = self.path.read_bytes()
        except OSError as error:
            raise BenchboxError(
                f"{self.path}: cannot be read ({error.strerror}). Write the report again."
            ) from error
        return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def run_tables(run: RunFolder) -> dict[str, Table]:
    """Return the tables of a run by file name: over all seeds, and best of several seeds."""
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
    return tables


def write_tables(run: Path) -> list[Path]:
    """Write ``tables/white_box.{md,csv,tex}``, and ``_best`` where there are several seeds.

    Models tested on another dataset than their own go into ``tables/transfer.*``.

    Raises:
        BenchboxError: the run's folder is malformed or cannot be written to.
    """
    written = []
    for name, table in run_tables(read_run(run)).items():
        forms = {"md": table.to_markdown(), "csv": table.to_csv(), "tex": table.to_latex()}
        for ending, text in forms.items():
            path = run / "tables" / f"{name}.{ending}"
            write_text(path, text)
            written.append(path)
    return written


def console_tables(run: Path) -> list[RenderableType]:
    """Return the tables of a run for the terminal, each as wide as the terminal allows.

    Raises:
        BenchboxError: the run's folder is malformed.
    """
    return [FittedTable(table) for table in run_tables(read_run(run)).values()]


def write_figures(run: RunFolder) -> list[Picture]:
    """Write ``figures/*.png`` and ``*.svg``; return them with captions.

    A run without a model tested on its own dataset has none.

    Raises:
        BenchboxError: the folder cannot be written to.
    """
    names = run.record.names
    cells = measurements(run.results, names)
    if not cells.scores:
        return []
    folder = run.path / "figures"
    convention = CONVENTION_TITLES[str(run.results["ap_convention"].iloc[0])]
    sizes = split_sizes(run.results, cells)
    seeds = ", ".join(map(str, cells.seeds))
    many = len(cells.seeds) > 1
    bars = f"mean of seeds {seeds}, whiskers ±1 sample standard deviation" if many else ""
    bars = bars or f"one run, seed {seeds}"
    shown = " and ".join(cells.condition_title(condition) for condition in shown_conditions(cells))
    bars_path, _ = save_figure(robustness_bars(run.results, names), folder / "robustness.png")
    identities_path, _ = save_figure(
        per_identity(run.results, run.per_id, names), folder / "per_identity.png"
    )
    return [
        Picture(
            bars_path,
            "What the attacks leave of each defense",
            f"mAP in %, average precision in {convention}; {bars}. Columns read attack, L∞ "
            f"budget-steps. {sizes} Measured on this machine.",
        ),
        Picture(
            identities_path,
            "Each identity's share",
            f"AP of every identity (the mean over its queries), {shown}, each curve sorted on its "
            f"own; average precision in {convention}; seed {cells.seeds[0]}. An identity counts "
            f"once, so the mean differs from mAP, which counts queries. A small spread "
            "near zero says that all identities are lost alike, not that the model is fair. "
            f"{sizes} Measured on this machine.",
        ),
    ]


def write_report(run: Path, *, contact_sheets: Mapping[str, Path] | None = None) -> Path:
    """Write ``report.html``: one file that needs nothing else and asks no network.

    Args:
        run: the run's folder.
        contact_sheets: dataset name → a PNG that shows it.

    Raises:
        BenchboxError: the run's folder or a contact sheet is malformed, or the report cannot be
            written.
    """
    folder = read_run(run)
    names = folder.record.names
    sheets = [
        Picture(
            path,
            names.title("datasets", name),
            "Rows are identities, spread evenly over the dataset; columns their images, by camera.",
        )
        for name, path in (contact_sheets or {}).items()
    ]
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("benchbox", "reports"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    record = folder.record
    page = environment.get_template("report.html.j2").render(
        record=record,
        results=len(folder.results),
        device=describe(record.device),
        cautions=cautions(folder),
        tables=run_tables(folder).values(),
        figures=write_figures(folder),
        sheets=sheets,
        datasets=datasets_table(record),
        digests={names.title("datasets", n): d.digest for n, d in record.datasets.items()},
        overrides=_overrides(folder),
        grid=_lines(record.grid),
        defenses=json.dumps(record.defenses, indent=2) if record.defenses else "",
    )
    path = run / "report.html"
    write_text(path, page)
    return path


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
        rows.append(tuple(Cell(text) for text in (title + size, *texts)))
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
