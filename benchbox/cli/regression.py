"""`benchbox regress` and `benchbox regress-speed`: robustness and speed in CI."""

from pathlib import Path
from typing import Annotated

import typer

from benchbox.cli.options import DataRoot, Device, Plugins, Store, Workers
from benchbox.cli.present import require_there
from benchbox.files.console import make_console


def regress(
    baseline: Annotated[Path, typer.Argument(help="The baseline, a JSON file.")],
    run: Annotated[Path | None, typer.Option(help="A finished run, instead of a grid.")] = None,
    grid: Annotated[Path | None, typer.Option(help="[default: the baseline's own.]")] = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder.")] = None,
    store: Store = None,
    workers: Workers = 0,
    plugin: Plugins = None,
    device: Device = "auto",
    data_root: DataRoot = None,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML here.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write a comment here.")] = None,
    minimum_effect: Annotated[
        float, typer.Option(min=0, help="Points of mAP below which no drop counts.")
    ] = 1.0,
    level: Annotated[
        float, typer.Option(min=1e-5, max=0.49, help="Chance of a false alarm, whole table.")
    ] = 0.01,
    two_sided: Annotated[
        bool, typer.Option("--two-sided", help="A gain beyond noise is red too.")
    ] = False,
    trust_seeds: Annotated[
        bool,
        typer.Option("--trust-seeds", help="The same seed gives the same weights here."),
    ] = False,
    update: Annotated[
        bool, typer.Option("--update", help="Write the baseline anew and print what changes.")
    ] = False,
) -> None:
    """Compare a run with a baseline; exit 1 if robustness regressed beyond noise."""
    require_there(*(path for path in (run, grid) if path), *(() if update else (baseline,)))

    from benchbox.regression.criteria import Criteria
    from benchbox.regression.run import RegressOptions
    from benchbox.regression.run import regress as compare
    from benchbox.runs.options import Options

    status = compare(
        RegressOptions(
            baseline=baseline,
            run=run,
            grid=grid,
            out=out,
            running=Options(
                device=device,
                plugins=tuple(plugin or ()),
                workers=workers,
                data_root=data_root,
                store=store,
            ),
            criteria=Criteria(
                minimum_effect=minimum_effect,
                level=level,
                two_sided=two_sided,
                trust_seeds=trust_seeds,
            ),
            junit=junit,
            markdown=markdown,
            update=update,
        ),
        make_console(),
    )
    raise typer.Exit(status)


def regress_speed(
    baseline: Annotated[Path, typer.Argument(help="pytest-benchmark's JSON, the old one.")],
    new: Annotated[Path, typer.Argument(help="pytest-benchmark's JSON, the new one.")],
    reference: Annotated[str, typer.Option(help="The benchmark all others are divided by.")],
    threshold: Annotated[float, typer.Option(help="Slower from this many times as long.")] = 1.3,
) -> None:
    """Compare benchmarks as ratios to one of their own run; exit 1 if one got slower."""
    require_there(baseline, new)

    from benchbox.regression.speed import compare_speed, speed_table
    from benchbox.tables.as_rich import FittedTable

    comparison = compare_speed(baseline, new, reference=reference, threshold=threshold)
    console = make_console()
    console.print(FittedTable(speed_table(comparison)))
    console.print(comparison.verdict_line, highlight=False, markup=False, soft_wrap=True)
    raise typer.Exit(0 if comparison.ok else 1)
