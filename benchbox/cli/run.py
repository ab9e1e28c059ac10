"""`benchbox run` and `benchbox demo`: execute a grid."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchbox.cli.options import (
    BatchSize,
    CalibrationFile,
    DataRoot,
    Device,
    DeviceHours,
    Executor,
    GpusPerStage,
    Plugins,
    RayAddress,
    ShardImages,
    ShardQueries,
    StageMemory,
    Store,
    Workers,
)
from benchbox.cli.reporting import write_report_of
from benchbox.errors import BenchboxError
from benchbox.files.bundled import bundled_grids, find_grid
from benchbox.files.console import make_console
from benchbox.files.toml import read_toml

if TYPE_CHECKING:
    from benchbox.runs.options import Options


def run(
    grid: Annotated[
        Path, typer.Argument(help="The grid: a TOML file, or a name that `benchbox grids` lists.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="The run's folder [default: runs/<name of the grid>].")
    ] = None,
    device: Device = "auto",
    plugin: Plugins = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print plan and cost; stop.")] = False,
    workers: Workers = 0,
    batch_size: BatchSize = 0,
    data_root: DataRoot = None,
    store: Store = None,
    executor: Executor = "local",
    ray_address: RayAddress = "auto",
    gpus_per_stage: GpusPerStage = 1.0,
    stage_memory: StageMemory = 0.0,
    shard_queries: ShardQueries = 0,
    shard_images: ShardImages = 0,
    device_hours: DeviceHours = 0.0,
    calibration: CalibrationFile = None,
) -> None:
    """Execute a grid, or go on with it where it was stopped, and write tables and report."""
    file = find_grid(grid)
    read_toml(file)  # a file that is no TOML need not wait for PyTorch

    from benchbox.runs.options import Options

    options = Options(
        device=device,
        plugins=tuple(plugin or ()),
        executor=executor,
        ray_address=ray_address,
        gpus_per_stage=gpus_per_stage,
        stage_memory=stage_memory,
        workers=workers,
        batch_size=batch_size,
        data_root=data_root,
        store=store,
        shard_queries=shard_queries,
        shard_images=shard_images,
        device_hours=device_hours,
        calibration=calibration,
    )
    if dry_run:
        _print_plan(file, str(grid), options)
    else:
        _execute(file, out or Path("runs") / file.stem, options)


def demo(
    out: Annotated[Path, typer.Option(help="The run's folder.")] = Path("runs/demo"),
    device: Device = "auto",
    workers: Workers = 0,
    data_root: DataRoot = None,
) -> None:
    """Run the demo grid: eight defenses on rendered people, in minutes on two cores."""
    from benchbox.runs.options import Options

    options = Options(device=device, workers=workers, data_root=data_root)
    _execute(bundled_grids()["demo"], out, options)


def _print_plan(file: Path, named: str, options: "Options") -> None:
    from benchbox.runs.estimating import Speed, estimate_parts
    from benchbox.runs.options import all_workers, default_batch_size, resolve_device
    from benchbox.runs.preview import plan_tables
    from benchbox.runs.runner import preview
    from benchbox.runs.sharding import in_shards

    console = make_console()
    plan, missing = preview(file, options)
    # A cluster's device need not be one of this machine.
    device = resolve_device("auto") if options.device == "auto" else options.device
    speed = Speed.of(device, options.calibration, where=named)
    workers = all_workers(options, device)
    parts = plan_tables(plan, missing)
    batch_size = options.batch_size or default_batch_size(device)
    stages = list(
        in_shards(
            plan.stages,
            queries=options.shard_queries,
            images=options.shard_images,
            batch_size=batch_size,
        )
    )
    parts += estimate_parts(stages, speed, workers=workers, missing=missing)
    for part in parts:
        console.print(part, soft_wrap=isinstance(part, str), highlight=False, markup=False)


def _execute(file: Path, folder: Path, options: "Options") -> None:
    from benchbox.runs.runner import run_grid

    console = make_console()
    try:
        outcome = run_grid(file, folder, options, console)
    except KeyboardInterrupt:
        make_console(stderr=True).print("stopped; the same command goes on from here.")
        raise typer.Exit(130) from None
    if outcome.cells:
        write_report_of(folder, console, depth="results")
        hint = f"all figures: benchbox report {shlex.quote(str(folder))}"
        console.print(hint, highlight=False, soft_wrap=True)
    if outcome.failures:
        listed = "\n".join(f"  {failure}" for failure in outcome.failures)
        raise BenchboxError(
            f"{len(outcome.failures)} stages failed, {outcome.left_out} that need them were left "
            f"out; what else was done is in {folder}:\n{listed}"
        )
