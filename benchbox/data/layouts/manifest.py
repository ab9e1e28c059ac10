"""A manifest: a table with a row an image, ``path,pid,camid,split[,view]``, as CSV or Parquet."""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchbox.data.rows import Numbering, Row, Zero, scan_rows
from benchbox.data.scanning import SPLITS, FileProblem, Scan
from benchbox.errors import BenchboxError
from benchbox.files.printable import printable

COLUMNS = ("path", "pid", "camid", "split")
"""What a manifest has to have; ``view`` may follow."""

_EXPECTED = f"a CSV or Parquet file with the columns {', '.join(COLUMNS)} and, if known, view"


@dataclass(frozen=True)
class Manifest:
    """Images listed in a file; paths are seen from its folder.

    Attributes:
        zero: what identity 0 is.
    """

    zero: Zero = "distractor"

    @property
    def parts(self) -> tuple[str, ...]:
        """Nothing: the manifest is a file."""
        return ()

    @property
    def expected(self) -> str:
        """The columns."""
        return _EXPECTED

    def is_at(self, root: Path) -> bool:
        """Return False: a manifest is named by its path."""
        del root
        return False

    def scan(self, root: Path) -> Scan:
        """Return what the manifest ``root`` says; see `Layout`."""
        if not root.is_file():
            raise BenchboxError(f"{printable(root)}: no such file. Expected {_EXPECTED}.")
        scan = Scan(root, layout="manifest", expected=_EXPECTED)
        rows = []
        for number, cells in enumerate(_cells(root), start=1):
            row = _row(root.parent, cells)
            if isinstance(row, str):
                scan.problems.append(FileProblem(f"row {number}", row))
            else:
                rows.append(row)
        if not rows and not scan.problems:
            scan.missing[root.name] = "is empty"
        return scan_rows(scan, rows, numbering=Numbering(zero=self.zero))


def _row(folder: Path, cells: Mapping[str, str]) -> Row | str:
    """Return a row of the manifest, or what is wrong with it."""
    for column in COLUMNS[:3]:
        if not cells[column]:
            return f"{column} is empty"
    if cells["split"] not in SPLITS:
        return f"split {cells['split']!r}: expected {', '.join(SPLITS)}"
    view = cells.get("view", "")
    if view and not view.isdecimal():
        return f"view {view!r}: expected a whole number, or nothing"
    place = cells["path"]
    return Row(
        cells["split"],
        Path(place).as_posix(),
        folder / place,
        cells["pid"],
        cells["camid"],
        int(view) if view else None,
    )


def _cells(file: Path) -> Iterator[dict[str, str]]:
    """Yield column → text of each row.

    Raises:
        BenchboxError: the file cannot be read, or a column is missing.
    """
    if file.suffix.lower() in {".parquet", ".pq"}:
        yield from _parquet(file)
        return
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            _require_columns(file, reader.fieldnames or ())
            for row in reader:
                yield {str(key): (value or "").strip() for key, value in row.items() if key}
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        raise BenchboxError(f"{printable(file)}: cannot be read as CSV ({error}).") from error


def _parquet(file: Path) -> Iterator[dict[str, str]]:
    import pandas as pd

    try:
        frame = pd.read_parquet(file)
    except ImportError as error:
        raise BenchboxError(
            f"{printable(file)}: reading Parquet needs the library pyarrow; install it, or write "
            "the manifest as CSV."
        ) from error
    except (OSError, ValueError) as error:
        raise BenchboxError(f"{printable(file)}: cannot be read as Parquet ({error}).") from error
    _require_columns(file, [str(column) for column in frame.columns])
    for row in frame.to_dict("records"):
        yield {str(key): _text(value) for key, value in row.items()}


def _text(value: Any) -> str:
    if value is None or value != value:  # a NaN, which is not equal to itself
        return ""
    # A column of whole numbers with a gap is a column of floats to pandas.
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _require_columns(file: Path, columns: Any) -> None:
    lacking = [column for column in COLUMNS if column not in columns]
    if lacking:
        raise BenchboxError(
            f"{printable(file)}: has no column {', '.join(lacking)}. Expected {_EXPECTED}."
        )
