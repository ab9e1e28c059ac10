"""The command about weights files: what one is, and which builder fits."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from benchbox.files.console import make_console
from benchbox.files.printable import printable

weights_app = typer.Typer(help="Look at weights files from elsewhere.", no_args_is_help=True)


@weights_app.callback()
def weights() -> None:
    """Look at weights files from elsewhere."""


@weights_app.command("inspect")
def inspect(
    file: Annotated[Path, typer.Argument(help="A checkpoint: .pth, .pt, .safetensors, ….")],
    tensors: Annotated[
        bool, typer.Option("--tensors", help="List every tensor and what becomes of it.")
    ] = False,
) -> None:
    """Say what a checkpoint is, and which builder computes its model; no code in it is run."""
    from benchbox.models.inspecting import inspect_checkpoint

    inspection = inspect_checkpoint(file)
    console = make_console()
    grid = Table.grid(padding=(0, 2))
    for what, value in inspection.lines():
        grid.add_row(Text(what, style="bold"), Text(printable(value), overflow="fold"))
    console.print(grid)
    if not tensors:
        return
    fate = dict(inspection.loading.left_out) if inspection.loading else {}
    fate |= dict(inspection.loading.loaded) if inspection.loading else {}
    listed = Table.grid(padding=(0, 2))
    for name, shape in inspection.tensors.items():
        listed.add_row(
            Text(printable(name), overflow="fold"), Text("×".join(map(str, shape))), fate.get(name)
        )
    console.print(listed)
