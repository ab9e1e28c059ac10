"""`benchbox data`: make and check datasets."""

import os
from pathlib import Path
from typing import Annotated

import typer

from benchbox.cli.options import DataRoot, SidewalkSize
from benchbox.errors import CheckFailed, unknown_name
from benchbox.files.console import make_console

data_app = typer.Typer(help="Make and check datasets.", no_args_is_help=True)


@data_app.command("make")
def data_make(
    name: Annotated[str, typer.Argument(help="sidewalk-a or sidewalk-b.")],
    size: SidewalkSize = "tiny",
    out: Annotated[
        Path | None, typer.Option(help="Folder to write [default: under the data root].")
    ] = None,
    seed: Annotated[int, typer.Option(help="Another seed gives other people.")] = 0,
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0: one per core.")] = 0,
    data_root: DataRoot = None,
) -> None:
    """Render a Sidewalk dataset in Market-1501's layout."""
    from rich.progress import Progress

    from benchbox.data import sidewalk
    from benchbox.data.finding import sidewalk_folder

    if name not in sidewalk.DOMAINS:
        raise unknown_name("rendered dataset", name, sidewalk.DOMAINS)
    folder = out or sidewalk_folder(name, data_root=data_root, size=size)
    console = make_console()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task(f"rendering {name} {size}", total=1.0)
        digest = sidewalk.make(
            name,
            folder,
            size=size,
            seed=seed,
            workers=workers or os.cpu_count() or 1,
            progress=lambda share, text: bars.update(task, completed=share, description=text),
        )
    console.print(f"{folder}: digest {digest}", highlight=False, soft_wrap=True)


@data_app.command("check")
def data_check(
    dataset: Annotated[
        str,
        typer.Argument(help="A folder in Market-1501's layout, or a dataset as grids name it."),
    ],
    size: SidewalkSize = "tiny",
    data_root: DataRoot = None,
) -> None:
    """Decode every image, count the splits and name each faulty file; exit 1 if there is one."""
    from rich.progress import Progress

    from benchbox.data.checking import check_dataset
    from benchbox.data.finding import DATASETS, PATH_PREFIX, find_dataset

    folder = Path(dataset)
    if dataset in DATASETS or dataset.startswith(PATH_PREFIX):
        folder = find_dataset(dataset, data_root=data_root, sidewalk_size=size)
    console = make_console()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task("decoding", total=1.0)
        found = check_dataset(
            folder,
            progress=lambda share, text: bars.update(task, completed=share, description=text),
        )
    for line in found.lines():
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if not found.ok:
        raise CheckFailed(f"{folder}: {len(found.problems)} problems, listed above.")
