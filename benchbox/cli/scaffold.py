"""`benchbox new-defense`: a file to start from."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from benchbox.files.console import make_console
from benchbox.files.printable import printable


def new_defense(
    name: Annotated[str, typer.Argument(help="Lower case, such as my_defense.")],
    out: Annotated[Path, typer.Option(help="Folder to write into.")] = Path(),
    kind: Annotated[
        Literal["recipe", "guard", "both"], typer.Option(help="How weights are made, or inputs.")
    ] = "both",
) -> None:
    """Write a working defense and its test, to start from."""
    from benchbox.scaffold.new_defense import write_template

    for path in write_template(name, out, kind=kind):
        line = printable(f"written: {path}")
        make_console().print(line, highlight=False, markup=False, soft_wrap=True)
