"""What papers printed, beside a run's own numbers and apart from them."""

from dataclasses import dataclass

from benchbox.errors import BenchboxError
from benchbox.published.reading import published_folder, read_published
from benchbox.reports.tables.compare import compare_table
from benchbox.reports.tables.order import order_tables
from benchbox.reports.tables.published import published_tables
from benchbox.reports.tables.shared_cells import nothing_shared, shared_cells
from benchbox.results.run_folder import RunFolder
from benchbox.tables.table import Table


@dataclass(frozen=True)
class PublishedSection:
    """What papers printed, apart from what was measured.

    Attributes:
        compared: the cells that this run and the papers share, side by side; None for no such cell.
        sentence: how the papers' numbers relate to the run.
        orders: whether the run orders defenses as the papers do; none where too few are shared.
        tables: the papers' own tables; none in an installed package without them.
    """

    compared: Table | None = None
    sentence: str = ""
    orders: tuple[Table, ...] = ()
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
        orders=tuple(order_tables(run, published).values()),
        tables=tuple(published_tables(published).values()),
    )
