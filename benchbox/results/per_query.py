"""What a run's store says of every query of a cell, checked against the run's table."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from benchbox.errors import BenchboxError
from benchbox.files.printable import printable
from benchbox.untrusted.json import RUN, read_record

ROUNDING = 1e-6
"""Points of percent: sums in another order move less."""

_MOST = 20_000
"""Queries; the largest of the known datasets has 11,659."""


class _Query(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    query: Annotated[str, Field(max_length=1_000)]
    pid: Annotated[int, Field(ge=1)]
    ap: Annotated[float, Field(ge=0, le=1)] | None
    first_hit: Annotated[int, Field(ge=0)]
    inp: Annotated[float, Field(ge=0, le=1)] | None = None


_Queries = Annotated[list[_Query], Field(max_length=_MOST, fail_fast=True)]


@dataclass(frozen=True, eq=False)
class PerQuery:
    """The queries of one cell that have a valid match, in the dataset's order.

    Attributes:
        queries: (Q,) what names each on every machine.
        pids: (Q,) identities.
        ap: (Q,) average precision, 0–1.
        first_hit: (Q,) rank of the first correct match, from 1.
        skipped: how many queries without a match were left out.
        inp: (Q,) matches over the rank of the last one, 0–1; None in runs older than it.
    """

    queries: tuple[str, ...]
    pids: NDArray[np.int64]
    ap: NDArray[np.float64]
    first_hit: NDArray[np.int64]
    skipped: int
    inp: NDArray[np.float64] | None = None

    def percent(self) -> dict[str, float]:
        """Return mAP and Rank-1, -5 and -10 in percent."""
        ranks = {f"rank{k}": 100 * float((self.first_hit <= k).mean()) for k in (1, 5, 10)}
        return {"mAP": 100 * float(self.ap.mean()), **ranks}


def read_per_query(path: Path) -> PerQuery:
    """Return what ``per_query.json`` of a rank stage holds.

    Raises:
        BenchboxError: it is malformed, names a query twice, or has no query with a match.
    """
    where = printable(path)
    rows = read_record(path, _Queries, limits=RUN)
    names = [row.query for row in rows]
    if len(set(names)) != len(names):
        raise BenchboxError(f"{where}: query: one stands there twice.")
    for index, row in enumerate(rows):
        if (row.ap is None) != (row.first_hit == 0):
            raise BenchboxError(f"{where}: [{index}].first_hit: does not agree with ap.")
    valid = [(row.query, row.pid, row.ap, row.first_hit) for row in rows if row.ap is not None]
    if not valid:
        raise BenchboxError(f"{where}: ap: no query has a valid match.")
    queries, pids, ap, first_hit = zip(*valid, strict=True)
    inp = [row.inp for row in rows if row.ap is not None]
    known = [value for value in inp if value is not None]
    if known and len(known) < len(inp):
        raise BenchboxError(f"{where}: inp: a query with a match has none.")
    return PerQuery(
        queries,
        np.array(pids),
        np.array(ap),
        np.array(first_hit),
        len(rows) - len(valid),
        np.array(known) if known else None,
    )


def disagreements(row: Mapping[str, Any], found: PerQuery) -> list[str]:
    """Return what a row of results.csv says otherwise than the cell's queries."""
    says = []
    percent = found.percent()
    if "minp" in row and found.inp is not None:
        percent["minp"] = 100 * float(found.inp.mean())
    for column, value in percent.items():
        if not math.isclose(row[column], value, rel_tol=0, abs_tol=ROUNDING):
            says.append(f"results.csv has {column} {row[column]:.4f}, its queries give {value:.4f}")
    if row["queries"] != len(found.ap):
        says.append(f"results.csv has {row['queries']} queries, the store {len(found.ap)}")
    return says
