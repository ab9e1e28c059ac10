"""Has code become slower? Times are compared as ratios to a reference loop of the same run.

Two machines, or one machine on two days, differ in speed; the ratio of a benchmark's time to that
of a reference measured beside it differs far less. What is compared is pytest-benchmark's JSON.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from benchbox.data.naming import printable
from benchbox.errors import BenchboxError, unknown_name
from benchbox.leaderboard.strict_json import Limits, read_record
from benchbox.reports.table import Cell, Header, Table

SpeedVerdict = Literal["slower", "faster", "within noise"]

_BENCHMARKS = Limits(size=50_000_000, values=4_000_000)
_Seconds = Annotated[float, Field(ge=1e-12, le=1e6)]


class _Stats(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    min: _Seconds


class _Benchmark(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str = Field(min_length=1, max_length=500)
    fullname: str = Field(min_length=1, max_length=1_000)
    stats: _Stats


class _Benchmarks(BaseModel):
    """What is read of pytest-benchmark's file."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    benchmarks: list[_Benchmark] = Field(min_length=1, max_length=2_000)


@dataclass(frozen=True)
class ComparedSpeed:
    """A benchmark on both sides.

    Attributes:
        name: of the benchmark, with its file.
        old: its time divided by the reference's, in the baseline.
        new: the same, in the new run.
        verdict: what it comes to.
    """

    name: str
    old: float
    new: float
    verdict: SpeedVerdict

    @property
    def times(self) -> float:
        """How many times as long it takes as before, the machine's speed taken out."""
        return self.new / self.old


@dataclass(frozen=True)
class SpeedComparison:
    """Two files of benchmarks side by side.

    Attributes:
        cells: in the baseline's order, the reference left out.
        reference: full name of the benchmark that the others are divided by.
        threshold: from how many times as long on it is slower.
    """

    cells: tuple[ComparedSpeed, ...]
    reference: str
    threshold: float

    @property
    def ok(self) -> bool:
        """Whether nothing became slower."""
        return all(cell.verdict != "slower" for cell in self.cells)

    @property
    def verdict_line(self) -> str:
        """One sentence: is it red, and why."""
        slower = sum(cell.verdict == "slower" for cell in self.cells)
        if slower:
            return f"{slower} of {len(self.cells)} benchmarks became slower."
        return f"No benchmark of {len(self.cells)} became slower."


def compare_speed(
    baseline: Path, new: Path, *, reference: str, threshold: float = 1.3
) -> SpeedComparison:
    """Return every benchmark of the baseline beside the new run's, with a verdict.

    A benchmark's time is that of its shortest round, the least disturbed by other work.

    Args:
        baseline: pytest-benchmark's JSON (``--benchmark-json``).
        new: likewise.
        reference: name or full name of the benchmark whose time the others are divided by.
        threshold: slower from this many times as long on; above 1.

    Raises:
        BenchboxError: a file is malformed, the reference is not in both, or a benchmark of the
            baseline is missing; the message lists them.
    """
    if not 1 < threshold < math.inf:
        raise BenchboxError(f"expected a finite threshold above 1, not {threshold:g}.")
    old_full, old_ratios = _ratios(baseline, reference)
    _, new_ratios = _ratios(new, old_full)
    missing = [name for name in old_ratios if name not in new_ratios]
    if missing:
        listed = "\n".join(f"  {name}" for name in missing)
        raise BenchboxError(f"{new}: lacks {len(missing)} benchmarks of {baseline}:\n{listed}")
    cells = tuple(
        ComparedSpeed(name, ratio, new_ratios[name], _verdict(new_ratios[name] / ratio, threshold))
        for name, ratio in old_ratios.items()
    )
    return SpeedComparison(cells, old_full, threshold)


def speed_table(comparison: SpeedComparison) -> Table:
    """Return the ratios, a row a benchmark."""
    rows = [
        tuple(
            Cell(text, bold=cell.verdict != "within noise")
            for text in (
                cell.name,
                f"{cell.old:.3g}",
                f"{cell.new:.3g}",
                f"{cell.times:.2f}",
                cell.verdict,
            )
        )
        for cell in comparison.cells
    ]
    return Table(
        "Speed beside the baseline",
        f"Time of the shortest round divided by that of {comparison.reference} in the same run. "
        f"Slower: {comparison.threshold:g} times as long as in the baseline or longer; faster: the "
        "reverse.",
        (tuple(map(Header, ("Benchmark", "Old", "New", "Times", "Verdict"))),),
        tuple(rows),
    )


def _ratios(path: Path, reference: str) -> tuple[str, dict[str, float]]:
    """Return the reference's full name, and full name → time over the reference's."""
    times: dict[str, float] = {}
    called: dict[str, list[str]] = {}
    for found in read_record(path, _Benchmarks, limits=_BENCHMARKS).benchmarks:
        fullname = printable(found.fullname)
        if fullname in times:
            raise BenchboxError(f"{path}: the benchmark {fullname!r} stands there twice.")
        times[fullname] = found.stats.min
        called.setdefault(found.name, []).append(fullname)
    fullnames = [reference] if reference in times else called.get(reference, [])
    if not fullnames:
        raise unknown_name("reference benchmark", reference, times, where=str(path))
    if len(fullnames) > 1:
        raise BenchboxError(
            f"{path}: several benchmarks are called {reference!r}; give the full name, one of "
            f"{', '.join(fullnames)}."
        )
    (full,) = fullnames
    if len(times) == 1:
        raise BenchboxError(f"{path}: holds the reference alone; nothing to compare.")
    return full, {name: time / times[full] for name, time in times.items() if name != full}


def _verdict(times: float, threshold: float) -> SpeedVerdict:
    if times >= threshold:
        return "slower"
    return "faster" if times <= 1 / threshold else "within noise"
