"""``benchbox regress``: hold a run against a baseline; red when robustness regressed."""

from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from benchbox.errors import BenchboxError
from benchbox.files.atomic import write_bytes, write_text
from benchbox.files.printable import printable
from benchbox.regression.baseline import make_baseline, read_baseline, write_baseline
from benchbox.regression.baseline_record import Baseline, is_grid_file
from benchbox.regression.comparison import Comparison
from benchbox.regression.criteria import Criteria
from benchbox.regression.report import comparison_table, in_words, update_table, verdict_line
from benchbox.regression.report_files import (
    junit_of_error,
    markdown_of_error,
    to_junit,
    to_markdown,
)
from benchbox.regression.verdict import compare_with_baseline
from benchbox.runs.options import Options
from benchbox.runs.runner import run_grid
from benchbox.tables.as_rich import FittedTable


@dataclass(frozen=True, kw_only=True)
class RegressOptions:
    """What to compare and what to write.

    Attributes:
        baseline: the baseline's file.
        run: a finished run's folder; None runs a grid first.
        grid: the grid to run; None takes the one the baseline names.
        out: the folder of that run; None means ``runs/regress-<name of the grid>``.
        running: how the grid is run.
        criteria: when a difference is called one.
        junit: where to write JUnit XML, if anywhere.
        markdown: where to write a pull-request comment, if anywhere.
        update: write the baseline anew instead of comparing.
    """

    baseline: Path
    run: Path | None = None
    grid: Path | None = None
    out: Path | None = None
    running: Options = field(default_factory=Options)
    criteria: Criteria = field(default_factory=Criteria)
    junit: Path | None = None
    markdown: Path | None = None
    update: bool = False


def regress(options: RegressOptions, console: Console) -> int:
    """Compare a run with a baseline, print the table of differences and write what is asked for.

    Returns:
        0 if no cell is red or the baseline was updated, 1 if one is.

    Raises:
        BenchboxError: run and baseline cannot be compared, or one of them is malformed. The
            reports that were asked for say so, too.
    """
    for report in (options.junit, options.markdown):
        if report is not None:
            # What an earlier call found must not be taken for this one's.
            report.unlink(missing_ok=True)
    if options.update:
        _update(options, console)
        return 0
    try:
        comparison = compare_run(options, console)
    except BenchboxError as error:
        # Who reads the reports alone, as CI does, must see it there.
        _write(options, junit=junit_of_error(error), markdown=markdown_of_error(error))
        raise
    console.print(FittedTable(comparison_table(comparison)))
    _write(options, junit=to_junit(comparison), markdown=to_markdown(comparison))
    for cell in (*comparison.having("regressed"), *comparison.having("improved")):
        _say(console, in_words(cell))
    _say(console, verdict_line(comparison))
    return 0 if comparison.ok else 1


def _write(options: RegressOptions, *, junit: bytes, markdown: str) -> None:
    """Write the reports that are asked for."""
    if options.junit is not None:
        write_bytes(options.junit, junit)
    if options.markdown is not None:
        write_text(options.markdown, markdown)


def compare_run(options: RegressOptions, console: Console) -> Comparison:
    """Return a run, which is made first if need be, beside its baseline.

    Raises:
        BenchboxError: run and baseline cannot be compared, or one of them is malformed.
    """
    if not options.baseline.exists():
        raise BenchboxError(
            f"{printable(options.baseline)}: no such file; --update makes a baseline of the run."
        )
    # A malformed baseline is found before the grid takes its minutes.
    old = read_baseline(options.baseline)
    return compare_with_baseline(old, _measured(options, old, console), options.criteria)


def _update(options: RegressOptions, console: Console) -> None:
    """Write the baseline anew and print what changes."""
    old = read_baseline(options.baseline) if options.baseline.exists() else None
    new = _measured(options, old, console)
    console.print(FittedTable(update_table(old, new)))
    write_baseline(options.baseline, new)
    _say(console, f"baseline: {options.baseline}")


def _measured(options: RegressOptions, old: Baseline | None, console: Console) -> Baseline:
    """Return what the run measured, in the form of a baseline."""
    if options.run is not None and options.grid is not None:
        raise BenchboxError("run and grid exclude each other: a finished run, or a grid to run.")
    run, grid = options.run, None
    if run is None:
        grid = _grid(options, old)
        run = finished_run(grid, options.out or default_folder(grid), options.running, console)
    return make_baseline(
        run,
        grid_file=_portable(grid) or (old.grid_file if old else None),
        seed_std=dict(old.seed_std) if old else None,
    )


def default_folder(grid: Path) -> Path:
    """Return where a grid is run if nobody says where."""
    return Path("runs") / f"regress-{grid.stem}"


def finished_run(grid: Path, out: Path, running: Options, console: Console) -> Path:
    """Run a grid, what its store holds aside, and return the run's folder.

    Raises:
        BenchboxError: a stage failed; the message lists them.
    """
    outcome = run_grid(grid, out, running, console)
    if outcome.failures:
        listed = "\n".join(f"  {failure}" for failure in outcome.failures)
        raise BenchboxError(f"{len(outcome.failures)} stages of {grid} failed:\n{listed}")
    return out


def _grid(options: RegressOptions, old: Baseline | None) -> Path:
    if options.grid is not None:
        return options.grid
    if old is None or old.grid_file is None:
        raise BenchboxError(
            f"{options.baseline}: names no grid to run; give --grid FILE, or --run DIR of a "
            "finished run."
        )
    return Path(old.grid_file)


def _portable(grid: Path | None) -> str | None:
    """Return a grid's path from the working folder; None where it lies outside or is unusual.

    A baseline without one is compared all the same; its grid has to be named with ``--grid``.
    """
    if grid is None or not grid.resolve().is_relative_to(Path.cwd()):
        return None
    path = grid.resolve().relative_to(Path.cwd()).as_posix()
    return path if is_grid_file(path) else None


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)
