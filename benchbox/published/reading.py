"""Reads what papers printed, strictly: published numbers are data, and never ours."""

import csv
import io
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from benchbox.errors import BenchboxError
from benchbox.files.bundled import bundled_folder
from benchbox.files.printable import printable
from benchbox.published.record import (
    Paper,
    Printed,
    PublishedAccuracy,
    PublishedCell,
    PublishedSource,
)

CLASSIFIERS = "-table1"
"""What the name of a source's file of classification accuracies ends with."""

_MOST_BYTES = 1 << 20

_Row = TypeVar("_Row", bound=Printed)


def published_folder() -> Path:
    """Return the folder of the published numbers that come with benchbox.

    Raises:
        BenchboxError: benchbox was installed without them.
    """
    return bundled_folder("leaderboards/published")


def read_published(folder: Path | None = None) -> tuple[PublishedSource, ...]:
    """Return every source of a folder, sorted by name; by default benchbox's own.

    Raises:
        BenchboxError: the folder is missing or empty, or a file is malformed: the message names
            file, row and column, or the key.
    """
    folder = published_folder() if folder is None else _require_folder(folder)
    sources = {path.stem: path for path in sorted(folder.glob("*.toml"))}
    if not sources:
        raise BenchboxError(f"{printable(folder)}: no NAME.toml in it; it says what NAME.csv is.")
    for path in sorted(folder.glob("*.csv")):
        if path.stem not in sources and path.stem.removesuffix(CLASSIFIERS) not in sources:
            raise BenchboxError(
                f"{printable(path)}: belongs to no source. Write "
                f"{printable(path.stem.removesuffix(CLASSIFIERS))}.toml beside it."
            )
    found = []
    for name, path in sources.items():
        about = _read_about(path)
        cells = _read_rows(folder / f"{name}.csv", PublishedCell, about)
        more = folder / f"{name}{CLASSIFIERS}.csv"
        accuracies = _read_rows(more, PublishedAccuracy, about) if more.exists() else ()
        found.append(PublishedSource(name, about, cells, accuracies))
    return tuple(found)


def _require_folder(folder: Path) -> Path:
    if not folder.is_dir():
        raise BenchboxError(
            f"{printable(folder)}: no such folder. Name a folder laid out as benchbox's "
            "leaderboards/published, or none for that one."
        )
    return folder


def _read_text(path: Path) -> str:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise BenchboxError(f"{printable(path)}: over 1 MiB, which no paper's tables are.")
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise BenchboxError(
            f"{printable(path)}: cannot be read ({error.strerror}). Each NAME.toml needs NAME.csv."
        ) from error
    except UnicodeDecodeError as error:
        raise BenchboxError(f"{printable(path)}: not UTF-8. Save it as UTF-8 text.") from error


def _read_about(path: Path) -> Paper:
    try:
        content = tomllib.loads(_read_text(path))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise BenchboxError(
            f"{printable(path)}: not valid TOML: {printable(str(error))}."
        ) from error
    try:
        # Through JSON, in whose strict mode an array is a tuple but "1" is no integer.
        return Paper.model_validate_json(TypeAdapter(Any).dump_json(content), strict=True)
    except ValidationError as error:
        key, given, expected = _first_fault(error)
        raise BenchboxError(f"{printable(path)}: {key}: {given}, {expected}.") from error


def _read_rows(path: Path, kind: type[_Row], about: Paper) -> tuple[_Row, ...]:
    """Return the rows of a CSV file, each in a table that NAME.toml names, none twice."""
    rows: list[_Row] = []
    seen: set[tuple[object, ...]] = set()
    for number, fields in enumerate(_read_fields(path, tuple(kind.model_fields)), start=1):
        where = f"{printable(path)}: row {number}"
        try:
            row = kind.model_validate(fields)
        except ValidationError as error:
            column, given, expected = _first_fault(error)
            raise BenchboxError(
                f"{where}, column {column}: {given}, {expected}. Correct it from the paper."
            ) from error
        table = about.tables.get(row.table)
        if table is None:
            known = ", ".join(about.tables)
            raise BenchboxError(
                f"{where}, column table: {row.table[:60]!r}, expected one of NAME.toml's: {known}."
            )
        if len(row.labels) != len(table.labels):
            expected = " / ".join(table.labels)
            raise BenchboxError(f"{where}, column row: {row.row[:60]!r}, expected {expected}.")
        keys = {(row.table, row.row, row.column), (row.table, "place", *row.place)}
        if keys & seen:
            raise BenchboxError(f"{where}: repeats a cell of table {row.table}. Remove one.")
        seen |= keys
        rows.append(row)
    if not rows:
        raise BenchboxError(f"{printable(path)}: holds no row. Expected the paper's cells.")
    return tuple(rows)


def _read_fields(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Return the rows by column; the columns may stand in any order."""
    try:
        lines = list(csv.reader(io.StringIO(_read_text(path), newline=""), strict=True))
    except csv.Error as error:
        raise BenchboxError(f"{printable(path)}: not a CSV table ({error}).") from error
    header, *body = lines or [[]]
    odd = [f"{column[:60]!r} is unknown" for column in header if column not in columns]
    odd += [f"{column!r} is missing" for column in columns if column not in header]
    odd += [f"{column!r} stands there twice" for column in columns if header.count(column) > 1]
    if odd:
        raise BenchboxError(f"{printable(path)}: column {odd[0]}. Expected: {','.join(columns)}.")
    for number, line in enumerate(body, start=1):
        if len(line) != len(header):
            raise BenchboxError(
                f"{printable(path)}: row {number}: {len(line)} fields, expected {len(header)}."
            )
    return [dict(zip(header, line, strict=True)) for line in body]


def _first_fault(error: ValidationError) -> tuple[str, str, str]:
    """Return where it is, what stands there and what was expected."""
    fault = error.errors()[0]
    key = printable(".".join(str(part) for part in fault["loc"]))
    given = "it is missing" if fault["type"] == "missing" else repr(fault["input"])[:80]
    return key, given, printable(fault["msg"].removeprefix("Value error, "))
