"""Reads corruption.csv: what each corruption leaves of a model at each severity."""

from pathlib import Path

import pandas as pd

from attacks.corruptions import CORRUPTIONS, SEVERITIES
from benchbox.files.bounded import Links
from benchbox.results.csv_table import (
    read_texts,
    require,
    require_unique,
    to_integers,
    to_numbers,
)
from benchbox.runs.columns import CORRUPTION_COLUMNS

_NAMES = ("train_dataset", "test_dataset", "backbone", "defense")
_ROWS = 200_000


def read_corruption(path: Path, *, links: Links = "followed") -> pd.DataFrame | None:
    """Return corruption.csv with checked types and ranges; None where a run has none.

    Raises:
        BenchboxError: a column is missing, a value is out of its range, or a row repeats another.
    """
    if not path.is_file() and not path.is_symlink():
        return None
    frame = read_texts(path, CORRUPTION_COLUMNS, rows=_ROWS, links=links)
    for column in _NAMES:
        require(path, frame, column, [bool(text) for text in frame[column]], "a name")
    known = [text in CORRUPTIONS for text in frame["corruption"]]
    require(path, frame, "corruption", known, "the name of a corruption")
    to_integers(path, frame, "severity", lambda x: x in SEVERITIES, "a whole number from 1 to 5")
    to_integers(path, frame, "seed", lambda _: True, "a whole number")
    for column in ("mAP", "rank1"):
        to_numbers(path, frame, column, lambda x: 0 <= x <= 100, "a percentage from 0 to 100")
    for column in ("queries", "gallery"):
        to_integers(path, frame, column, lambda x: x >= 1, "a whole number of at least 1")
    require_unique(path, frame, (*_NAMES, "seed", "corruption", "severity"))
    return frame
