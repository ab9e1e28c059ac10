"""Reads a CSV file strictly: a fault is named by file, row and column."""

import io
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from benchbox.errors import BenchboxError
from benchbox.files.bounded import Links, read_at_most
from benchbox.files.printable import printable
from benchbox.untrusted.json import RUN

Check = Callable[[float], bool]

_SIZE = RUN.size
_HEADER = 10_000
_COLUMNS = 100
"""What a table may have at most: bytes, bytes of its first line, and columns."""

_SHOWN = 100
"""Characters of a faulty value that a message repeats."""


def _bounded(path: Path, *, rows: int, links: Links) -> bytes:
    """Return a table's bytes if it is worth parsing, which takes a value for every empty cell.

    Raises:
        OSError: it cannot be read.
        BenchboxError: it has too many rows or columns.
    """
    content = read_at_most(path, size=_SIZE, links=links)
    header = content[: _HEADER + 1].splitlines()[:1] or [b""]
    if len(header[0]) > _HEADER or header[0].count(b",") >= _COLUMNS or b'"' in header[0]:
        raise BenchboxError(
            f"{printable(path)}: expected a first line of at most {_COLUMNS} plain names of "
            "columns. Run the grid again."
        )
    if max(content.count(b"\n"), content.count(b"\r")) > rows:
        raise BenchboxError(f"{printable(path)}: has more than {rows:,} rows, the most allowed.")
    return content


def read_texts(
    path: Path,
    columns: Sequence[str],
    *,
    rows: int,
    links: Links,
    further: re.Pattern[str] | None = None,
) -> pd.DataFrame:
    """Return some columns of a CSV file, every value as the text that stands there.

    Args:
        path: of the file.
        columns: those that are wanted, all of which have to be there.
        rows: how many it may have at most.
        links: whether the path may be a symbolic link.
        further: names of columns that are returned as well where they are there, behind the others.

    Raises:
        BenchboxError: it cannot be read, is no table, or lacks a column or a value.
    """
    try:
        # Everything as text: pandas would turn a defense called "null" into a missing value.
        frame = pd.read_csv(
            io.BytesIO(_bounded(path, rows=rows, links=links)),
            dtype=str,
            keep_default_na=False,
            na_values=[],
            skip_blank_lines=False,
        )
    except OSError as error:
        reason = error.strerror or str(error)
        raise BenchboxError(f"{path}: {reason}: it cannot be read. Run the grid first.") from error
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
    found = [name for name in map(str, frame.columns) if further and further.fullmatch(name)]
    wanted = list(dict.fromkeys([*columns, *found]))
    frame = frame.loc[:, wanted]
    for column in wanted:
        whole = [isinstance(text, str) for text in frame[column]]
        require(path, frame, column, whole, "a value: the row is cut short")
    return frame


def to_numbers(path: Path, frame: pd.DataFrame, column: str, check: Check, expected: str) -> None:
    """Turn a column of texts into floats that pass a check; a faulty one is an error."""
    values = [_number(text) for text in frame[column]]
    fine = [math.isfinite(value) and check(value) for value in values]
    require(path, frame, column, fine, expected)
    frame[column] = pd.Series(values, index=frame.index, dtype="float64")


def to_integers(path: Path, frame: pd.DataFrame, column: str, check: Check, expected: str) -> None:
    """Turn a column of texts into whole numbers that pass a check; a faulty one is an error."""
    values = [_number(text) for text in frame[column]]
    # Above 2**53 a float has no odd numbers, and above 2**63 a column has no place for it.
    fine = [
        math.isfinite(value) and abs(value) <= 2**53 and value == int(value) and check(value)
        for value in values
    ]
    require(path, frame, column, fine, expected)
    frame[column] = pd.Series([int(value) for value in values], index=frame.index, dtype="int64")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def require(
    path: Path, frame: pd.DataFrame, column: str, fine: Sequence[bool], expected: str
) -> None:
    """Check a column row by row; the message names the first row that is not fine."""
    for index, is_fine in enumerate(fine):
        if not is_fine:
            given = repr(frame[column].iloc[index])
            shown = given if len(given) <= _SHOWN else f"{given[:_SHOWN]}…"
            raise BenchboxError(
                f"{printable(path)}: row {index + 1}, column {column}: {shown}, expected "
                f"{expected}. Run the grid again."
            )


def require_unique(path: Path, frame: pd.DataFrame, columns: Sequence[str]) -> None:
    """Check that no two rows agree in all of some columns."""
    repeated = frame.duplicated(list(columns)).to_numpy().nonzero()[0]
    if len(repeated):
        row = frame.iloc[int(repeated[0])]
        what = printable(", ".join(f"{column} {str(row[column])[:_SHOWN]}" for column in columns))
        raise BenchboxError(
            f"{path}: row {repeated[0] + 1} repeats a cell ({what}). Run the grid again."
        )
