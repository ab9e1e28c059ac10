"""What a site shows of corruptions: the runs beside the boards that measured them."""

from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import pandas as pd

from benchbox.errors import BenchboxError
from benchbox.files.printable import printable
from benchbox.leaderboard.site.embedded import Embedded, embedded
from benchbox.reports.cautions import describe
from benchbox.reports.conventions import conventions
from benchbox.reports.drawings.of_results import drawing_of_corruptions
from benchbox.reports.tables.corruption import corruption_table, corruptions_by_kind
from benchbox.results.measurements import Pairs
from benchbox.results.record import ReadRecord
from benchbox.results.run_folder import RunFolder, read_run
from benchbox.tables.table import Table

MEASURED = "measured"
"""The folder beside the boards that holds measured runs, a folder each."""

_FILE = "corruption.csv"
_MOST_RUNS = 50
_MOST = {"groups (model, training and test dataset)": 12, "defenses": 32}
"""What a run may have of each: a figure's height grows with one, its curves with the other."""

_OF_OTHERS = "Identities"
"""The heading of what only tables of fairness need."""

_GROUP = ["backbone", "train_dataset", "test_dataset"]


@dataclass(frozen=True)
class CorruptedRun:
    """A measured run with corruptions, as the site shows it.

    Attributes:
        folder: its name below ``measured/``.
        record: where the numbers come from.
        device: what it ran on, in words.
        seeds: of its rows, sorted.
        repeats: over how many draws of corruptions its cells are means, sorted.
        means: clean beside corrupted queries, gallery and both; a table a kind of pairs.
        by_kind: each corruption at each severity; likewise.
        curves: None where no model was tested on the dataset it was trained on.
        conventions: headings with sentences that hold for all its tables.
    """

    folder: str
    record: ReadRecord
    device: str
    seeds: tuple[int, ...]
    repeats: tuple[int, ...]
    means: tuple[Table, ...]
    by_kind: tuple[Table, ...]
    curves: Embedded | None
    conventions: tuple[tuple[str, str], ...]

    @property
    def title(self) -> str:
        """What the run's grid is headed, or else its folder."""
        return self.record.title or self.folder


def read_corrupted_runs(boards: Path) -> tuple[CorruptedRun, ...]:
    """Return the runs below ``measured/`` that hold corruptions, sorted by folder.

    Args:
        boards: the folder that holds all boards; that of one board has no runs beside it.

    Raises:
        BenchboxError: a run is malformed, is a link, or there is more than a page can show.
    """
    measured = boards / MEASURED
    if not measured.is_dir():
        return ()
    paths = sorted(path.parent for path in measured.glob(f"*/{_FILE}"))
    if len(paths) > _MOST_RUNS:
        raise BenchboxError(
            f"{printable(measured)}: {len(paths)} runs hold {_FILE}, and the site shows at most "
            f"{_MOST_RUNS}. Remove some."
        )
    return tuple(run for path in paths if (run := _read(path)) is not None)


def _read(path: Path) -> CorruptedRun | None:
    """Return a run as the site shows it; None where its corruptions have no row."""
    if path.is_symlink() or path.parent.is_symlink():
        raise BenchboxError(f"{printable(path)}: is a link; expected the run's folder itself.")
    run = read_run(path, links="refused")
    if run.corruption is None or run.corruption.empty:
        return None
    _require_few(run, run.corruption)
    names, recorded = run.record.names, run.record.cells
    pairs: tuple[Pairs, ...] = get_args(Pairs)
    means = [corruption_table(run.results, recorded, names, pairs=p) for p in pairs]
    by_kind = [corruptions_by_kind(run.corruption, names, pairs=p) for p in pairs]
    return CorruptedRun(
        folder=path.name,
        record=run.record,
        device=describe(run.record.device),
        seeds=tuple(sorted({int(seed) for seed in run.corruption["seed"]})),
        repeats=tuple(sorted({c.repeats for c in recorded.values() if c.spread})),
        means=tuple(table for table in means if table is not None),
        by_kind=tuple(table for table in by_kind if table is not None),
        curves=embedded(drawing_of_corruptions(run, run.corruption)),
        conventions=tuple(said for said in conventions(run) if said[0] != _OF_OTHERS),
    )


def _require_few(run: RunFolder, swept: pd.DataFrame) -> None:
    rows = pd.concat([run.results, swept])
    found = (len(rows.groupby(_GROUP)), rows["defense"].nunique())
    for count, (what, most) in zip(found, _MOST.items(), strict=True):
        if count > most:
            raise BenchboxError(
                f"{printable(run.path)}: has {count} {what}, and a figure on the site takes at "
                f"most {most}. Split the run's grid."
            )
