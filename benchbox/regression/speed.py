"""Has code become slower? Times are compared as ratios to a reference loop of the same run.

Two machines, or one machine on two days, differ in speed; the ratio of a benchmark's time to that
of a reference differs less, and least if the reference ran between the benchmark's own rounds, so
that what disturbs one disturbs the other. What is compared is pytest-benchmark's JSON; a benchmark
that timed the reference itself, once before each round, says so under the reference's name::

    benchmark.extra_info["reference_seconds"] = {"test_reference_loop": [0.051, 0.049, 0.063]}
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchbox.errors import BenchboxError
from benchbox.regression.benchmark_file import RULES, SpeedRule, speed_ratios
from benchbox.tables.table import Header, Table, TableCell

SpeedVerdict = Literal["slower", "faster", "within noise"]


@dataclass(frozen=True)
class ComparedSpeed:
    """A benchmark on both sides.

    Attributes:
        name: the benchmark's, with its file.
        old: the benchmark's time divided by the reference's, in the baseline.
        new: the same, in the new run.
        verdict: what the two come to.
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
        cells: the benchmarks in the baseline's order, the reference left out.
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
        new: the same of the run that is judged.
        reference: name or full name of the benchmark whose time the others are divided by.
        threshold: slower from this many times as long on; above 1.

    Raises:
        BenchboxError: a file is malformed, the reference is not in both, a benchmark has not one
            time of the reference per round, or a benchmark of the baseline is missing; the message
            lists them.
    """
    if not 1 < threshold < math.inf:
        raise BenchboxError(f"expected a finite threshold above 1, not {threshold:g}.")
    old_full, old_ratios = speed_ratios(baseline, reference)
    _, new_ratios = speed_ratios(new, old_full)
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
    used = [rule for rule in RULES if any(cell.rule == rule for cell in comparison.cells)]
    told = "; where a file lacks its times, ".join(
        RULES[rule].format(comparison.reference) for rule in used
    )
    return Table(
        "Speed beside the baseline",
        f"Old and new: {told}. Slower: {comparison.threshold:g} times as long as in the baseline "
        "or longer; faster: the reverse.",
        (tuple(map(Header, ("Benchmark", "Old", "New", "Times", "Verdict"))),),
        tuple(rows),
    )


def _compared(
    name: str, old: dict[SpeedRule, float], new: dict[SpeedRule, float], threshold: float
) -> ComparedSpeed:
    # Ratios of two rules differ on the same code.
    rule = next(rule for rule in RULES if rule in old and rule in new)
    verdict = _verdict(new[rule] / old[rule], threshold)
    return ComparedSpeed(name, old[rule], new[rule], verdict, rule)


def _verdict(times: float, threshold: float) -> SpeedVerdict:
    if times >= threshold:
        return "slower"
    return "faster" if times <= 1 / threshold else "within noise"
