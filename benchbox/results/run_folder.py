"""Reads a run's folder, strictly: a fault is named by file, row and column."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from benchbox.errors import BenchboxError
from benchbox.files.bounded import Links
from benchbox.files.printable import printable
from benchbox.reranking.names import PLAIN
from benchbox.results.conditions import CLEAN, CLEAN_ATTACK, CORRUPTED, Condition
from benchbox.results.corruption import read_corruption
from benchbox.results.csv_table import (
    read_texts,
    require,
    require_unique,
    to_integers,
    to_numbers,
)
from benchbox.results.record import ReadRecord, read_record
from benchbox.results.targeted import read_targeted
from benchbox.runs.columns import (
    FURTHER_COLUMNS,
    FURTHER_PERCENT,
    PER_ID_COLUMNS,
    PLACE,
    RANKING,
    RESULT_COLUMNS,
    SOURCE_COLUMNS,
)

_TEXT = ("train_dataset", "test_dataset", "backbone", "defense", "attack", "ap_convention", "cell")
"""The columns of results.csv that hold names."""

CONVENTIONS = ("trapezoid", "step")

_ROWS = 200_000
_ROWS_PER_ID = 1_000_000
"""The whole published table has about half a million rows of identities."""


@dataclass(frozen=True)
class RunFolder:
    """A run as its folder holds it.

    Attributes:
        path: the folder.
        results: a row per cell, with the columns of results.csv; mAP, ranks and, in newer runs,
            mINP in percent. In clean rows eps_255, steps and step_size_255 are 0.
        reranked: likewise, of other rankings of the same galleries, with the column ``ranking``;
            None where the grid asks for none.
        per_id: ``cell, pid, queries, ap``; ap in 0–1.
        record: run.json.
        black_box: black_box.csv, like the results but with the columns ``source_backbone`` and
            ``source_defense``; None where the grid has no sources.
        corruption: corruption.csv, a row for each corruption and severity of a model; None where
            the grid has no corruptions.
        targeted: targeted.csv, see `benchbox.results.targeted`; None where no attack is targeted.
    """

    path: Path
    results: pd.DataFrame
    per_id: pd.DataFrame
    record: ReadRecord
    black_box: pd.DataFrame | None = None
    corruption: pd.DataFrame | None = None
    targeted: pd.DataFrame | None = None
    reranked: pd.DataFrame | None = None


def read_run(path: Path, *, links: Links = "followed") -> RunFolder:
    """Return a run's folder, read and checked; a stranger may have made it.

    Args:
        path: of the folder.
        links: whether its files may be symbolic links.

    Raises:
        BenchboxError: a file is missing, too large or malformed: the message names file, row and
            column.
    """
    if not path.is_dir():
        where = printable(path)
        raise BenchboxError(f"{where}: no such folder. Expected that of a finished run.")
    record = read_record(path / "run.json", links=links)
    rows = _read_rows(path / "results.csv", sources=False, links=links)
    results = _plain(path / "results.csv", rows)
    reranked = rows[rows[RANKING] != PLAIN].reset_index(drop=True)
    per_id = read_per_id(path / "per_id.csv", cells=set(results["cell"]), links=links)
    sources = path / "black_box.csv"
    black_box = None
    if sources.is_file() or sources.is_symlink():
        black_box = read_results(sources, sources=True, links=links)
    corruption = read_corruption(path / "corruption.csv", links=links)
    aimed = path / "targeted.csv"
    targeted = None
    if aimed.is_file() or aimed.is_symlink():
        targeted = read_targeted(aimed, links=links)
    others = None if reranked.empty else reranked
    return RunFolder(path, results, per_id, record, black_box, corruption, targeted, others)


def read_results(path: Path, *, sources: bool = False, links: Links = "followed") -> pd.DataFrame:
    """Return results.csv with checked types and ranges: the rows with the plain ranking.

    They stand in the order of the file.

    Args:
        path: of the file.
        sources: expect black_box.csv, whose rows name the attacked model too.
        links: whether the path may be a symbolic link.

    Raises:
        BenchboxError: a column is missing, a value is no number or out of its range, a cell
            stands there twice, or two AP conventions are mixed.
    """
    return _plain(path, _read_rows(path, sources=sources, links=links))


def _plain(path: Path, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows whose gallery is ranked by the plain distance, without that column."""
    plain = rows[rows[RANKING] == PLAIN]
    if plain.empty:
        raise BenchboxError(f"{path}: holds no cell yet. Run the grid first.")
    return plain.drop(columns=RANKING).reset_index(drop=True)


def _read_rows(path: Path, *, sources: bool, links: Links) -> pd.DataFrame:
    """Return the rows of results.csv or black_box.csv, whatever their ranking."""
    texts = (*SOURCE_COLUMNS, *_TEXT) if sources else _TEXT
    expected = (*SOURCE_COLUMNS, *RESULT_COLUMNS) if sources else RESULT_COLUMNS
    frame = read_texts(path, expected, rows=_ROWS, links=links, further=FURTHER_COLUMNS)
    if RANKING not in frame:
        frame[RANKING] = PLAIN
    for column in (*texts, RANKING):
        require(path, frame, column, [bool(text) for text in frame[column]], "a name")
    for column in ("mAP", *filter(FURTHER_PERCENT.fullmatch, frame.columns)):
        to_numbers(path, frame, column, lambda x: 0 <= x <= 100, "a percentage from 0 to 100")
    to_numbers(path, frame, "eps_255", lambda x: 0 <= x <= 255, "a number from 0 to 255")
    to_numbers(path, frame, "step_size_255", lambda x: x >= 0, "a number of at least 0")
    # The time is lost with the attack's artefact, which does not spoil the result.
    frame["seconds"] = pd.to_numeric(frame["seconds"], errors="coerce")
    to_integers(path, frame, "steps", lambda x: x >= 0, "a whole number of at least 0")
    to_integers(path, frame, "seed", lambda _: True, "a whole number")
    for column in ("queries", "gallery"):
        to_integers(path, frame, column, lambda x: x >= 1, "a whole number of at least 1")

    clean = frame["attack"] == CLEAN_ATTACK
    unaimed = clean | frame["attack"].isin(CORRUPTED)
    agrees = list(unaimed == (frame["eps_255"] == 0))
    budget = "0 for attack none and for corruptions, above 0 for the others"
    require(path, frame, "eps_255", agrees, budget)
    # A clean row has no steps, whatever the grid wrote there.
    frame.loc[clean, ["steps", "step_size_255"]] = 0
    known = [text in CONVENTIONS for text in frame["ap_convention"]]
    require(path, frame, "ap_convention", known, "trapezoid or step")
    first = next(iter(frame["ap_convention"]), "")
    same = [text == first for text in frame["ap_convention"]]
    require(path, frame, "ap_convention", same, f"{first} as in row 1: a run has one")
    require_unique(path, frame, ("cell",))
    require_unique(path, frame, (*(SOURCE_COLUMNS if sources else ()), *PLACE, "seed", RANKING))
    return frame


def read_per_id(path: Path, *, cells: set[str], links: Links = "followed") -> pd.DataFrame:
    """Return per_id.csv with checked types and ranges.

    Raises:
        BenchboxError: as for results.csv, or a cell that results.csv does not hold.
    """
    frame = read_texts(path, PER_ID_COLUMNS, rows=_ROWS_PER_ID, links=links)
    to_integers(path, frame, "pid", lambda x: x >= 0, "a whole number of at least 0")
    to_integers(path, frame, "queries", lambda x: x >= 1, "a whole number of at least 1")
    to_numbers(path, frame, "ap", lambda x: 0 <= x <= 1, "a number from 0 to 1")
    known = [cell in cells for cell in frame["cell"]]
    require(path, frame, "cell", known, "a cell of results.csv")
    require_unique(path, frame, ("cell", "pid"))
    return frame


def condition_of(row: Mapping[Hashable, Any]) -> Condition:
    """Return the condition of a row of results."""
    if row["attack"] == CLEAN_ATTACK:
        return CLEAN
    # Twelve digits undo 8/255*255 without merging budgets anyone would tell apart.
    eps, step_size = (float(f"{row[key]:.12g}") for key in ("eps_255", "step_size_255"))
    return Condition(str(row["attack"]), eps, int(row["steps"]), step_size)
