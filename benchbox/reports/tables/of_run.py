"""Which tables a run has, as files and for the terminal."""

from pathlib import Path

from rich.console import RenderableType

from benchbox.reports.layouts import layouts_for
from benchbox.reports.tables.black_box import black_box_table
from benchbox.reports.tables.by_layout import best_run, over_seeds
from benchbox.reports.tables.fairness import fairness
from benchbox.reports.tables.real_images import real_images
from benchbox.reports.tables.reranked import reranked
from benchbox.reports.tables.targeted import targeted_table
from benchbox.results.measurements import Pairs, measurements
from benchbox.results.run_folder import RunFolder, read_run
from benchbox.tables.as_rich import FittedTable
from benchbox.tables.table import Table
from benchbox.tables.table_files import write_table

_REAL_IMAGES: dict[Pairs, str] = {"same": "real_images", "transfer": "real_images_transfer"}

_RERANKED: dict[Pairs, str] = {"same": "reranked", "transfer": "reranked_transfer"}
_TARGETED: dict[Pairs, str] = {"same": "targeted", "transfer": "targeted_transfer"}


def run_tables(run: RunFolder) -> dict[str, Table]:
    """Return the tables of a run by file name: the paper's, then what else it measured.

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
    for pairs, file in _REAL_IMAGES.items():
        quality = run.record.jpeg_quality
        table = real_images(run.results, run.record.cells, names, pairs=pairs, quality=quality)
        if table is not None:
            tables[file] = table
    for pairs, file in _RERANKED.items():
        again = reranked(run, pairs=pairs)
        if again is not None:
            tables[file] = again
    if run.targeted is not None:
        for pairs, file in _TARGETED.items():
            aimed = targeted_table(run.targeted, run.record.names_of_targeted, pairs=pairs)
            if aimed is not None:
                tables[file] = aimed
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
