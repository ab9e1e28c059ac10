"""Has code become slower? Times are compared as ratios to a reference loop of the same run.

Two machines, or one machine on two days, differ in speed; the ratio of a benchmark's time to that
of a reference differs less, and least if the reference ran between the benchmark's own rounds, so
that what disturbs one disturbs the other. What is compared is pytest-benchmark's JSON; a benchmark
that timed the reference itself, once before each round, says so under the reference's name::

    benchmark.extra_info["reference_seconds"] = {"test_reference_loop": [0.051, 0.049, 0.063]}
"""

import math
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from benchbox.errors import BenchboxError, unknown_name
from benchbox.files.printable import printable
from benchbox.tables.table import Header, Table, TableCell
from benchbox.untrusted.json import Limits, read_record

SpeedVerdict = Literal["slower", "faster", "within noise"]
SpeedRule = Literal["median of rounds", "shortest beside", "shortest"]

_RULES: dict[SpeedRule, str] = {
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


@dataclass(frozen=True)
class ComparedSpeed:
    """A benchmark on both sides.

    Attributes:
        name: of the benchmark, with its file.
        old: its time divided by the reference's, in the baseline.
        new: the same, in the new run.
        verdict: what it comes to.
        rule: how both ratios were formed.
    """

    name: str
    old: float
    new: float
    verdict: SpeedVerdict
    rule: SpeedRule

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

    A benchmark that timed the reference before each of its rounds, in both files, is held by the
    median of these rounds' ratios; if a file lacks the rounds' times, by its shortest round over
    the reference's shortest between them. Any other is held by its shortest round over that of the
    reference's own benchmark.

    Args:
        baseline: pytest-benchmark's JSON (``--benchmark-json``).
        new: likewise.
        reference: name or full name of the benchmark whose time the others are divided by.
        threshold: slower from this many times as long on; above 1.

    Raises:
        BenchboxError: a file is malformed, the reference is not in both, a benchmark has not one
            time of the reference per round, or a benchmark of the baseline is missing; the message
            lists them.
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
        _compared(name, ratios, new_ratios[name], threshold) for name, ratios in old_ratios.items()
    )
    return SpeedComparison(cells, old_full, threshold)


def speed_table(comparison: SpeedComparison) -> Table:
    """Return the ratios, a row a benchmark."""
    rows = [
        tuple(
            TableCell(text, bold=cell.verdict != "within noise")
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
    used = [rule for rule in _RULES if any(cell.rule == rule for cell in comparison.cells)]
    told = "; where a file lacks its times, ".join(
        _RULES[rule].format(comparison.reference) for rule in used
    )
    return Table(
        "Speed beside the baseline",
        f"Old and new: {told}. Slower: {comparison.threshold:g} times as long as in the baseline "
        "or longer; faster: the reverse.",
        (tuple(map(Header, ("Benchmark", "Old", "New", "Times", "Verdict"))),),
        tuple(rows),
    )


def _ratios(path: Path, reference: str) -> tuple[str, dict[str, dict[SpeedRule, float]]]:
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


def _compared(
    name: str, old: dict[SpeedRule, float], new: dict[SpeedRule, float], threshold: float
) -> ComparedSpeed:
    # Ratios of two rules differ on the same code.
    rule = next(rule for rule in _RULES if rule in old and rule in new)
    verdict = _verdict(new[rule] / old[rule], threshold)
    return ComparedSpeed(name, old[rule], new[rule], verdict, rule)


def _verdict(times: float, threshold: float) -> SpeedVerdict:
    if times >= threshold:
        return "slower"
    return "faster" if times <= 1 / threshold else "within noise"
