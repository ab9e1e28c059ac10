"""`benchbox calibrate`: how fast this machine is, for estimates."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchbox.cli.options import BatchSize, CalibrationFile, DataRoot, Device, Plugins
from benchbox.errors import BenchboxError
from benchbox.files.bundled import find_grid
from benchbox.files.console import make_console
from benchbox.files.toml import read_toml

if TYPE_CHECKING:
    from benchbox.runs.balancing_cost import MeasuredDiffusion
    from benchbox.runs.measured_networks import MeasuredNetwork
    from benchbox.runs.options import Options


def calibrate(
    grid: Annotated[
        Path | None, typer.Argument(help="The grid whose networks are measured: a file or a name.")
    ] = None,
    backbone: Annotated[
        str | None, typer.Option(help="The network to measure, where no grid is given.")
    ] = None,
    height: Annotated[int, typer.Option(min=1, help="Of its images, in pixels.")] = 256,
    width: Annotated[int, typer.Option(min=1, help="Likewise.")] = 128,
    minutes: Annotated[float, typer.Option(min=0, help="About how long to measure.")] = 1.0,
    device: Device = "auto",
    batch_size: BatchSize = 0,
    plugin: Plugins = None,
    data_root: DataRoot = None,
    calibration: CalibrationFile = None,
) -> None:
    """Measure how fast this machine trains, attacks, embeds and ranks, for `run --dry-run`."""
    if (grid is None) == (backbone is None):
        raise BenchboxError("calibrate: name a grid, or a network with --backbone.")
    if grid is not None:
        read_toml(find_grid(grid))  # a file that is no TOML need not wait for PyTorch

    from benchbox.runs.calibration import calibration_file, write_calibration
    from benchbox.runs.measuring import measure
    from benchbox.runs.options import Options, default_batch_size, resolve_device

    there = resolve_device(device)
    options = Options(device=there, plugins=tuple(plugin or ()), data_root=data_root)
    networks = _of_backbone(str(backbone), (height, width)) if backbone else {}
    diffusions: dict[str, MeasuredDiffusion] = {}
    if grid is not None:
        networks, diffusions = _of_grid(grid, options)
    console = make_console()
    with console.status("measuring") as status:
        measured = measure(
            networks,
            diffusions=diffusions,
            device=there,
            batch_size=batch_size or default_batch_size(there),
            minutes=minutes,
            progress=lambda share, name: status.update(f"measured {name} ({share:.0%})"),
        )
    file = calibration or calibration_file(there)
    write_calibration(file, measured)
    for name, rates in measured.networks.items():
        trained = f"trains {rates.trained:,.4g}, " if rates.trained else ""
        line = f"{name}: {trained}ascends {rates.ascended:,.4g}, embeds {rates.embedded:,.4g}"
        console.print(f"{line} images/s", highlight=False, markup=False, soft_wrap=True)
    console.print(f"written: {file}", highlight=False, markup=False, soft_wrap=True)


def _of_grid(
    grid: Path, options: "Options"
) -> "tuple[dict[str, MeasuredNetwork], dict[str, MeasuredDiffusion]]":
    from benchbox.runs.measured_networks import diffusions_of, networks_of
    from benchbox.runs.runner import preview

    plan, _ = preview(find_grid(grid), options)
    return networks_of(plan.stages), diffusions_of(plan.stages)


def _of_backbone(name: str, image_size: tuple[int, int]) -> "dict[str, MeasuredNetwork]":
    from benchbox.runs.measured_networks import backbone_alone

    return backbone_alone(name, image_size)
