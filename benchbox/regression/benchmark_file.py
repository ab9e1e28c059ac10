"""Reads pytest-benchmark's JSON: each benchmark's time divided by a reference's of that run."""

import statistics
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from benchbox.errors import BenchboxError, unknown_name
from benchbox.files.printable import printable
from benchbox.untrusted.json import Limits, read_record

SpeedRule = Literal["median of rounds", "shortest beside", "shortest"]

RULES: dict[SpeedRule, str] = {
    "median of rounds": "the median over rounds of the time divided by that of {} just before",
    "shortest beside": "the time of the shortest round divided by the shortest of {} between them",
    "shortest": "the time of the shortest round divided by that of {} in the same run",
}
"""What a ratio is; the least disturbed by other work comes first."""

_BENCHMARKS = Limits(size=50_000_000, values=4_000_000)
_Seconds = Annotated[float, Field(ge=1e-12, le=1e6)]
# A calibrated benchmark has hundreds of thousands of rounds.
_Rounds = Annotated[list[_Seconds], Field(min_length=1, max_length=_BENCHMARKS.values)]


class _Stats(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    min: _Seconds
    data: _Rounds | None = None  # absent after --benchmark-save without --benchmark-save-data


class _ExtraInfo(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    reference_seconds: dict[str, _Rounds] = Field(default={}, max_length=100)


class _Benchmark(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str = Field(min_length=1, max_length=500)
    fullname: str = Field(min_length=1, max_length=1_000)
    stats: _Stats
    extra_info: _ExtraInfo = _ExtraInfo()


class _Benchmarks(BaseModel):
    """What is read of pytest-benchmark's file."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    benchmarks: list[_Benchmark] = Field(min_length=1, max_length=2_000)


def speed_ratios(path: Path, reference: str) -> tuple[str, dict[str, dict[SpeedRule, float]]]:
    """Return the reference's full name, and full name → its ratios by every rule it has."""
    benchmarks: dict[str, _Benchmark] = {}
    called: dict[str, list[str]] = {}
    for found in read_record(path, _Benchmarks, limits=_BENCHMARKS).benchmarks:
        fullname = printable(found.fullname)
        if fullname in benchmarks:
            raise BenchboxError(f"{path}: the benchmark {fullname!r} stands there twice.")
        benchmarks[fullname] = found
        called.setdefault(found.name, []).append(fullname)
    fullnames = [reference] if reference in benchmarks else called.get(reference, [])
    if not fullnames:
        raise unknown_name("reference benchmark", reference, benchmarks, where=str(path))
    if len(fullnames) > 1:
        raise BenchboxError(
            f"{path}: several benchmarks are called {reference!r}; give the full name, one of "
            f"{', '.join(fullnames)}."
        )
    (full,) = fullnames
    if len(benchmarks) == 1:
        raise BenchboxError(f"{path}: holds the reference alone; nothing to compare.")
    divisor = benchmarks.pop(full)
    return full, {name: _by_rule(path, found, divisor) for name, found in benchmarks.items()}


def _by_rule(path: Path, found: _Benchmark, divisor: _Benchmark) -> dict[SpeedRule, float]:
    ratios: dict[SpeedRule, float] = {"shortest": found.stats.min / divisor.stats.min}
    beside = found.extra_info.reference_seconds.get(divisor.name)
    if beside is None:
        return ratios
    ratios["shortest beside"] = found.stats.min / min(beside)
    rounds = found.stats.data
    if rounds is None:
        return ratios
    if len(rounds) != len(beside):
        raise BenchboxError(
            f"{path}: {printable(found.fullname)}: {len(beside)} times of the reference for "
            f"{len(rounds)} rounds; expected one before each round."
        )
    each = (time / reference for time, reference in zip(rounds, beside, strict=True))
    return ratios | {"median of rounds": statistics.median(each)}
