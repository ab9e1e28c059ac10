"""Which tables a run has, as files and for the terminal."""

import re
from pathlib import Path

from rich.console import RenderableType

from benchbox.reports.layouts import layouts_for
from benchbox.reports.tables.black_box import black_box_table
from benchbox.reports.tables.by_layout import best_run, over_seeds
from benchbox.reports.tables.corruption import corruption_table, corruptions_by_kind
from benchbox.reports.tables.fairness import fairness
from benchbox.reports.tables.gains import gains_table
from benchbox.reports.tables.real_images import real_images
from benchbox.reports.tables.reranked import reranked
from benchbox.reports.tables.targeted import targeted_table
from benchbox.results.conditions import CLEAN
from benchbox.results.measurements import Pairs, measurements
from benchbox.results.run_folder import RunFolder, read_run
from benchbox.tables.as_rich import FittedTable
from benchbox.tables.table import Table
from benchbox.tables.table_files import write_table

_ENDINGS: dict[Pairs, str] = {"same": "", "transfer": "_transfer"}


def run_tables(run: RunFolder) -> dict[str, Table]:
    """Return the tables of a run by file name: the paper's, then what else it measured.

    With several seeds the paper's stand there twice: over all seeds, and best of them.
    """
    tables: dict[str, Table] = {}
    names = run.record.names
    for layout in layouts_for(set(run.results["defense"])):
        cells = measurements(run.results, names, pairs=layout.pairs, rows=layout.rows)
        only_clean = run.corruption is not None and cells.conditions == (CLEAN,)
        if not cells.groups or only_clean:  # corruptions have clean beside them in their own table
            continue
        tables[layout.file] = over_seeds(run.results, names, layout)
        if len(cells.seeds) > 1:
            tables[f"{layout.file}_best"] = best_run(run.results, names, layout)
        if layout.gains_over and (gains := gains_table(run, layout)) is not None:
            tables[f"{layout.file}_gains"] = gains
    if run.black_box is not None and not run.black_box.empty:
        tables["black_box"] = black_box_table(run.black_box, run.results, names)
    quality = run.record.jpeg_quality
    for pairs, ending in _ENDINGS.items():
        recorded = run.record.cells
        further = {
            "real_images": real_images(run.results, recorded, names, pairs=pairs, quality=quality),
            "reranked": reranked(run, pairs=pairs),
            "corruption": corruption_table(run.results, recorded, names, pairs=pairs),
        }
        if run.corruption is not None and not run.corruption.empty:
            by_kind = corruptions_by_kind(run.corruption, names, pairs=pairs)
            further["corruption_by_kind"] = by_kind
        if run.targeted is not None:
            aimed = targeted_table(run.targeted, run.record.names_of_targeted, pairs=pairs)
            further["targeted"] = aimed
        tables |= {f"{n}{ending}": table for n, table in further.items() if table is not None}
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
    # Sixteen columns of fairness, more of each corruption, intervals of gains: for files and page.
    wide = re.compile("fairness.*|corruption_by_kind.*|.*_gains")
    return [FittedTable(table) for name, table in tables.items() if not wide.fullmatch(name)]
