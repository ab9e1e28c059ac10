"""Reads targeted.csv: how well attacked queries retrieve the identities chosen for them."""

from pathlib import Path

import pandas as pd

from benchbox.files.bounded import Links
from benchbox.results.conditions import CLEAN_ATTACK
from benchbox.results.csv_table import (
    read_texts,
    require,
    require_unique,
    to_integers,
    to_numbers,
)
from benchbox.runs.columns import PLACE, TARGETED_COLUMNS, TOWARDS

_TEXT = ("train_dataset", "test_dataset", "backbone", "defense", "attack", "ap_convention", "cell")
_ROWS = 200_000


def read_targeted(path: Path, *, links: Links = "followed") -> pd.DataFrame:
    """Return targeted.csv with checked types and ranges, in the order of the file.

    ``success`` says in how many per cent of the queries the chosen identity ranks first,
    ``mAP_towards`` is the mAP of the chosen identities; ``clean_…`` are those of clean queries.

    Args:
        path: of the file.
        links: whether the path may be a symbolic link.

    Raises:
        BenchboxError: a column is missing, a value is no number or out of its range, or a cell
            stands there twice.
    """
    frame = read_texts(path, TARGETED_COLUMNS, rows=_ROWS, links=links)
    if frame.empty:
        return frame
    for column in _TEXT:
        require(path, frame, column, [bool(text) for text in frame[column]], "a name")
    attacked = [name != CLEAN_ATTACK for name in frame["attack"]]
    require(path, frame, "attack", attacked, "an attack")
    for column in TOWARDS:
        to_numbers(path, frame, column, lambda x: 0 <= x <= 100, "a percentage from 0 to 100")
    to_numbers(path, frame, "eps_255", lambda x: 0 < x <= 255, "a number above 0 and up to 255")
    to_numbers(path, frame, "step_size_255", lambda x: x >= 0, "a number of at least 0")
    frame["seconds"] = pd.to_numeric(frame["seconds"], errors="coerce")
    to_integers(path, frame, "steps", lambda x: x >= 0, "a whole number of at least 0")
    to_integers(path, frame, "seed", lambda _: True, "a whole number")
    for column in ("queries", "gallery"):
        to_integers(path, frame, column, lambda x: x >= 1, "a whole number of at least 1")
    require_unique(path, frame, ("cell",))
    require_unique(path, frame, (*PLACE, "seed"))
    return frame
