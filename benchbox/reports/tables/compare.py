"""Compares a run with what papers printed: the same cells, side by side, never in one column."""

from collections.abc import Sequence
from pathlib import Path

from benchbox.data.official import OFFICIAL_COUNTS
from benchbox.errors import BenchboxError
from benchbox.published.reading import read_published
from benchbox.published.record import PublishedSource
from benchbox.reports.tables.shared_cells import (
    Difference,
    SharedCell,
    both_pairs,
    nothing_shared,
    shared_cells,
)
from benchbox.reports.tables.wording import CONVENTION_TITLES
from benchbox.results.conditions import fraction_of_255
from benchbox.results.run_folder import RunFolder, read_run
from benchbox.tables.table import Header, Table, TableCell
from benchbox.tables.table_files import write_table


def compare_table(run: RunFolder, published: Sequence[PublishedSource]) -> Table:
    """Return the shared cells as a table; measured and published never share a column.

    Raises:
        BenchboxError: nothing is shared; the message is :func:`nothing_shared`'s sentence.
    """
    compared = shared_cells(run, published)
    if not compared:
        raise BenchboxError(nothing_shared(run, published))
    used = {cell.source for cell in compared}
    about = {source.source: source.about for source in published}
    same, transfer = both_pairs(run)
    names = run.record.names
    rows = []
    for cell in compared:
        titles = same if cell.group.train == cell.group.test else transfer
        labels = (
            *titles.group_titles(cell.group),
            names.title("defenses", cell.defense),
            titles.condition_title(cell.condition),
            # One paper is named in the caption; a column wide enough for it hides the numbers.
            (f"{about[cell.source].citation}, " if len(used) > 1 else "")
            + f"Table{'s' * (len(cell.tables) > 1)} {', '.join(cell.tables)}",
        )
        texts = (*labels, str(len(cell.cells)), *_texts(cell.mAP), *_texts(cell.rank1))
        rows.append(tuple(TableCell(text) for text in texts))
    leading = ("Model", "Dataset", "Defense", "Attack", "Published in", "Seeds")
    columns = ("measured", "published", "difference", "mark")
    top = (*(Header(text) for text in leading), Header("mAP", 4), Header("Rank-1", 4))
    below = (*(Header("") for _ in leading), *(Header(text) for _ in range(2) for text in columns))
    return Table(
        "Measured and published",
        _caption(run, [source for source in published if source.source in used], compared),
        (top, below),
        tuple(rows),
        group_columns=2,
        label_columns=5,
    )


def write_compare(run: Path, folder: Path | None = None) -> list[Path]:
    """Write ``tables/compare.{md,csv,tex}`` where something is shared; return what was written.

    Args:
        run: the run's folder.
        folder: of published numbers; by default the checkout's.

    Raises:
        BenchboxError: either folder is malformed, or the tables cannot be written.
    """
    content, published = read_run(run), read_published(folder)
    if not shared_cells(content, published):
        return []
    return write_table(compare_table(content, published), run / "tables", "compare")


def _texts(value: Difference) -> tuple[str, str, str, str]:
    spread = "" if value.std is None else f"±{value.std:.2f}"
    # Adding 0.0 makes a rounded minus zero plain zero.
    points = round(value.difference, 2) + 0.0
    return (
        f"{value.mean:.2f}{spread}",
        str(value.published),
        f"{points:+.2f}",
        value.mark,
    )


def _caption(
    run: RunFolder, published: Sequence[PublishedSource], compared: Sequence[SharedCell]
) -> str:
    papers = " and ".join(source.about.reference for source in published)
    convention = CONVENTION_TITLES[str(run.results["ap_convention"].iloc[0])]
    sizes = sorted({c.condition.step_size_255 for c in compared if not c.condition.is_clean})
    steps = f", step size {', '.join(fraction_of_255(size) for size in sizes)}" if sizes else ""
    theirs = " ".join(_reported(source, compared) for source in published)
    return (
        "In %. Measured: by this run, the mean over its seeds±sample standard deviation (n − 1); "
        f"average precision in {convention}{steps}. Published: printed in {papers}; not measured "
        f"with benchbox. {theirs} Difference: measured − published, in percentage points. Mark: "
        "“beyond” where the difference exceeds two standard deviations of this run's own seeds, "
        "“within” where it does not, “one seed” where there is no spread to judge by. Few seeds "
        "say little about their spread, and many cells are compared: a mark says where to look, "
        f"not that something is significant. {_test_sizes(run, compared)}"
        f"{_overrides(run, compared)}"
    )


def _reported(source: PublishedSource, compared: Sequence[SharedCell]) -> str:
    """Return how a paper's numbers came about, as far as it says."""
    about = source.about
    tables = {table for cell in compared if cell.source == source.source for table in cell.tables}
    notes = {number: about.tables[number].note for number in about.tables if number in tables}
    return " ".join(
        [
            f"{about.citation}: average precision {about.ap_convention}, step size "
            f"{about.step_size}; a number is {about.reported}, here it is a mean.",
            *(f"Table {number}: {note}" for number, note in notes.items() if note),
        ]
    )


def _test_sizes(run: RunFolder, compared: Sequence[SharedCell]) -> str:
    """Return what was tested on, and where it is not the dataset that papers test on."""
    names, parts = run.record.names, []
    for name in names.sorted("datasets", (cell.group.test for cell in compared)):
        rows = run.results.loc[run.results["test_dataset"] == name]
        text = f"{names.title('datasets', name)}: " + ", ".join(
            f"{' or '.join(map(str, sorted(set(rows[column]))))} {what}"
            for column, what in (("queries", "queries"), ("gallery", "gallery images"))
        )
        official = OFFICIAL_COUNTS.get(name)
        counts = official and {(official.query_images, official.gallery_images)}
        if official and set(zip(rows["queries"], rows["gallery"], strict=True)) != counts:
            text += (
                f" (officially {official.query_images} and {official.gallery_images}: this is "
                "not the test that papers report)"
            )
        parts.append(text)
    return f"{'; '.join(parts)}."


def _overrides(run: RunFolder, compared: Sequence[SharedCell]) -> str:
    records = (run.record.cells.get(cell) for row in compared for cell in row.cells)
    if not any(record and record.overrides for record in records):
        return ""
    return " The grid overrides parameters of these trainings; run.json lists them."
