"""`benchbox grids`: the grids that come with benchbox."""

from pathlib import Path
from typing import Annotated

import typer

from benchbox.errors import unknown_name
from benchbox.files.bundled import bundled_grids, copy_new
from benchbox.files.console import make_console
from benchbox.files.printable import printable
from benchbox.files.toml import read_toml

grids_app = typer.Typer(help="List and copy the grids that come with benchbox.")


@grids_app.callback(invoke_without_command=True)
def grids(context: typer.Context) -> None:
    """List the grids that come with benchbox; each can be named to `benchbox run`."""
    if context.invoked_subcommand is not None:
        return
    files = bundled_grids()
    width = max(map(len, files))
    for name, file in files.items():
        line = f"{name:<{width}}  {read_toml(file)['title']}"
        make_console().print(line, highlight=False, markup=False, soft_wrap=True)


@grids_app.command("copy")
def copy(
    name: Annotated[str, typer.Argument(help="As `benchbox grids` lists it.")],
    out: Annotated[Path, typer.Option(help="Folder to copy into.")] = Path(),
) -> None:
    """Copy a grid into a folder, to change it there."""
    files = bundled_grids()
    if name not in files:
        raise unknown_name("grid", name, files)
    for path in copy_new([files[name]], out):
        line = printable(f"written: {path}")
        make_console().print(line, highlight=False, markup=False, soft_wrap=True)
