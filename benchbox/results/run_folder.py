"""Reads a run's folder, strictly: a fault is named by file, row and column."""

import io
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from benchbox.errors import BenchboxError
from benchbox.files.bounded import read_at_most
from benchbox.files.printable import printable
from benchbox.results.conditions import CLEAN, CLEAN_ATTACK, Condition
from benchbox.results.record import RunRecord, read_record
from benchbox.runs.results import SOURCE_COLUMNS
from benchbox.untrusted.json import RUN, read_bounded, read_json

Check = Callable[[float], bool]

_TEXT = ("train_dataset", "test_dataset", "backbone", "defense", "attack", "ap_convention", "cell")
_PERCENT = ("mAP", "rank1", "rank5", "rank10")
_KEY = (
    "train_dataset",
    "test_dataset",
    "backbone",
    "defense",
    "attack",
    "eps_255",
    "steps",
    "step_size_255",
    "seed",
)
CONVENTIONS = ("trapezoid", "step")

_SIZE = 500_000_000
_HEADER = 10_000
_COLUMNS = 100
"""What a table may have at most: bytes, bytes of its first line, and columns."""

_ROWS = 200_000
_ROWS_PER_ID = 1_000_000
"""The whole published table has about half a million rows of identities."""

_SHOWN = 100
"""Characters of a faulty value that a message repeats."""


@dataclass(frozen=True)
class RunFolder:
    """A run as its folder holds it.

    Attributes:
        path: the folder.
        results: a row per cell, with the columns of results.csv; mAP and ranks in percent. In
            clean rows eps_255, steps and step_size_255 are 0.
        per_id: ``cell, pid, queries, ap``; ap in 0–1.
        record: run.json.
        black_box: black_box.csv, like the results but with the columns ``source_backbone`` and
            ``source_defense``; None where the grid has no sources.
    """

    path: Path
    results: pd.DataFrame
    per_id: pd.DataFrame
    record: RunRecord
    black_box: pd.DataFrame | None = None


def read_run(path: Path) -> RunFolder:
    """Return a run's folder, read and checked.

    Raises:
        BenchboxError: a file is missing or malformed: the message names file, row and column.
    """
    if not path.is_dir():
        where = printable(path)
        raise BenchboxError(f"{where}: no such folder. Expected the one given to benchbox run.")
    record = read_record(path / "run.json")
    results = read_results(path / "results.csv")
    per_id = read_per_id(path / "per_id.csv", cells=set(results["cell"]))
    sources = path / "black_box.csv"
    black_box = read_results(sources, sources=True) if sources.is_file() else None
    return RunFolder(path, results, per_id, record, black_box)


def read_untrusted_run(path: Path) -> RunFolder:
    """Return a run's folder whose files are bounded and whose record is strict JSON.

    Raises:
        BenchboxError: a file is missing, is a link, is too large or malformed.
    """
    if not path.is_dir():
        raise BenchboxError(f"{printable(path)}: no such folder. Expected that of a finished run.")
    read_json(path / "run.json", limits=RUN)
    for name in ("results.csv", "per_id.csv", "black_box.csv"):
        if name != "black_box.csv" or (path / name).exists():
            read_bounded(path / name, size=RUN.size)
    return read_run(path)


def read_results(path: Path, *, sources: bool = False) -> pd.DataFrame:
    """Return results.csv with checked types and ranges, in the order of the file.

    Args:
        path: of the file.
        sources: expect black_box.csv, whose rows name the attacked model too.

    Raises:
        BenchboxError: a column is missing, a value is no number or out of its range, a cell
            stands there twice, or two AP conventions are mixed.
    """
    texts = (*SOURCE_COLUMNS, *_TEXT) if sources else _TEXT
    expected = (*texts, *_PERCENT, "eps_255", "steps", "step_size_255", "seed")
    frame = _read_text(path, (*expected, "queries", "gallery", "seconds"), rows=_ROWS)
    if frame.empty:
        raise BenchboxError(f"{path}: holds no cell yet. Run the grid first.")
    for column in texts:
        _require(path, frame, column, [bool(text) for text in frame[column]], "a name")
    for column in _PERCENT:
        _numbers(path, frame, column, lambda x: 0 <= x <= 100, "a percentage from 0 to 100")
    _numbers(path, frame, "eps_255", lambda x: 0 <= x <= 255, "a number from 0 to 255")
    _numbers(path, frame, "step_size_255", lambda x: x >= 0, "a number of at least 0")
    # The time is lost with the attack's artefact, which does not spoil the result.
    frame["seconds"] = pd.to_numeric(frame["seconds"], errors="coerce")
    _integers(path, frame, "steps", lambda x: x >= 0, "a whole number of at least 0")
    _integers(path, frame, "seed", lambda _: True, "a whole number")
    for column in ("queries", "gallery"):
        _integers(path, frame, column, lambda x: x >= 1, "a whole number of at least 1")

    clean = frame["attack"] == CLEAN_ATTACK
    agrees = list(clean == (frame["eps_255"] == 0))
    _require(path, frame, "eps_255", agrees, "0 for attack none and above 0 for the others")
    # A clean row has no steps, whatever the grid wrote there.
    frame.loc[clean, ["steps", "step_size_255"]] = 0
    known = [text in CONVENTIONS for text in frame["ap_convention"]]
    _require(path, frame, "ap_convention", known, "trapezoid or step")
    first = frame["ap_convention"].iloc[0]
    same = [text == first for text in frame["ap_convention"]]
    _require(path, frame, "ap_convention", same, f"{first} as in row 1: a run has one")
    _require_unique(path, frame, ("cell",))
    _require_unique(path, frame, (*SOURCE_COLUMNS, *_KEY) if sources else _KEY)
    return frame


def read_per_id(path: Path, *, cells: set[str]) -> pd.DataFrame:
    """Return per_id.csv with checked types and ranges.

    Raises:
        BenchboxError: as for results.csv, or a cell that results.csv does not hold.
    """
    frame = _read_text(path, ("cell", "pid", "queries", "ap"), rows=_ROWS_PER_ID)
    _integers(path, frame, "pid", lambda x: x >= 0, "a whole number of at least 0")
    _integers(path, frame, "queries", lambda x: x >= 1, "a whole number of at least 1")
    _numbers(path, frame, "ap", lambda x: 0 <= x <= 1, "a number from 0 to 1")
    known = [cell in cells for cell in frame["cell"]]
    _require(path, frame, "cell", known, "a cell of results.csv")
    _require_unique(path, frame, ("cell", "pid"))
    return frame


def condition_of(row: Mapping[Hashable, Any]) -> Condition:
    """Return the condition of a row of results."""
    if row["attack"] == CLEAN_ATTACK:
        return CLEAN
    # Twelve digits undo 8/255*255 without merging budgets anyone would tell apart.
    eps, step_size = (float(f"{row[key]:.12g}") for key in ("eps_255", "step_size_255"))
    return Condition(str(row["attack"]), eps, int(row["steps"]), step_size)


def _bounded(path: Path, *, rows: int) -> bytes:
    """Return a table's bytes if it is worth parsing, which takes a value for every empty cell.

    Raises:
        OSError: it cannot be read.
        BenchboxError: it has too many rows or columns.
    """
    content = read_at_most(path, size=_SIZE)
    header = content[: _HEADER + 1].splitlines()[:1] or [b""]
    if len(header[0]) > _HEADER or header[0].count(b",") >= _COLUMNS or b'"' in header[0]:
        raise BenchboxError(
            f"{printable(path)}: expected a first line of at most {_COLUMNS} plain names of "
            "columns. Run the grid again."
        )
    if max(content.count(b"\n"), content.count(b"\r")) > rows:
        raise BenchboxError(f"{printable(path)}: has more than {rows:,} rows, the most allowed.")
    return content


def _read_text(path: Path, columns: Sequence[str], *, rows: int) -> pd.DataFrame:
    try:
        # Everything as text: pandas would turn a defense called "null" into a missing value.
        frame = pd.read_csv(
            io.BytesIO(_bounded(path, rows=rows)),
            dtype=str,
            keep_default_na=False,
            na_values=[],
            skip_blank_lines=False,
        )
    except OSError as error:
        reason = error.strerror or str(error)
        raise BenchboxError(f"{path}: cannot be read ({reason}). Run the grid first.") from error
    except (ValueError, pd.errors.ParserError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "empty"
        raise BenchboxError(f"{path}: not a CSV table ({reason}). Run the grid again.") from error
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise BenchboxError(
            f"{path}: column {missing[0]} is missing. Expected: {','.join(columns)}."
        )
    if not isinstance(frame.index, pd.RangeIndex):
        raise BenchboxError(f"{path}: rows have more fields than the header. Run the grid again.")
    frame = frame.loc[:, list(columns)]
    for column in columns:
        whole = [isinstance(text, str) for text in frame[column]]
        _require(path, frame, column, whole, "a value: the row is cut short")
    return frame


def _numbers(path: Path, frame: pd.DataFrame, column: str, check: Check, expected: str) -> None:
    values = [_number(text) for text in frame[column]]
    fine = [math.isfinite(value) and check(value) for value in values]
    _require(path, frame, column, fine, expected)
    frame[column] = pd.Series(values, index=frame.index, dtype="float64")


def _integers(path: Path, frame: pd.DataFrame, column: str, check: Check, expected: str) -> None:
    values = [_number(text) for text in frame[column]]
    # Above 2**53 a float has no odd numbers, and above 2**63 a column has no place for it.
    fine = [
        math.isfinite(value) and abs(value) <= 2**53 and value == int(value) and check(value)
        for value in values
    ]
    _require(path, frame, column, fine, expected)
    frame[column] = pd.Series([int(value) for value in values], index=frame.index, dtype="int64")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _require(
    path: Path, frame: pd.DataFrame, column: str, fine: Sequence[bool], expected: str
) -> None:
    for index, is_fine in enumerate(fine):
        if not is_fine:
            given = repr(frame[column].iloc[index])
            shown = given if len(given) <= _SHOWN else f"{given[:_SHOWN]}…"
            raise BenchboxError(
                f"{printable(path)}: row {index + 1}, column {column}: {shown}, expected "
                f"{expected}. Run the grid again."
            )


def _require_unique(path: Path, frame: pd.DataFrame, columns: Sequence[str]) -> None:
    repeated = frame.duplicated(list(columns)).to_numpy().nonzero()[0]
    if len(repeated):
        row = frame.iloc[int(repeated[0])]
        what = printable(", ".join(f"{column} {str(row[column])[:_SHOWN]}" for column in columns))
        raise BenchboxError(
            f"{path}: row {repeated[0] + 1} repeats a cell ({what}). Run the grid again."
        )
