"""`benchbox data`: make, check and import datasets."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchbox.cli.options import DataRoot, Pattern, Plugins, SameCamera, SidewalkSize, Zero
from benchbox.errors import CheckFailed, unknown_name
from benchbox.files.console import make_console

if TYPE_CHECKING:
    from benchbox.data.sources import Source

data_app = typer.Typer(help="Make, check and import datasets.", no_args_is_help=True)

_Dataset = Annotated[
    str,
    typer.Argument(help="A dataset as grids name it; or a folder, or a manifest (.csv, .parquet)."),
]


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
    dataset: _Dataset,
    size: SidewalkSize = "tiny",
    pattern: Pattern = None,
    zero: Zero = None,
    same_camera: SameCamera = None,
    plugin: Plugins = None,
    data_root: DataRoot = None,
) -> None:
    """Decode every image, count the splits and name each faulty file; exit 1 if there is one."""
    from rich.progress import Progress

    from benchbox.data.checking import check_dataset

    said = {"pattern": pattern, "zero": zero, "same_camera": same_camera}
    source, place = _asked(dataset, said, plugin, data_root=data_root, size=size)
    console = make_console()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task("decoding", total=1.0)
        found = check_dataset(
            place,
            source=source,
            progress=lambda share, text: bars.update(task, completed=share, description=text),
        )
    for line in found.lines():
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if not found.ok:
        what = "1 problem" if len(found.problems) == 1 else f"{len(found.problems)} problems"
        raise CheckFailed(f"{place}: {what}, listed above.")


@data_app.command("import")
def data_import(
    dataset: _Dataset,
    out: Annotated[Path, typer.Option(help="The manifest to write, a .csv.")],
    pattern: Pattern = None,
    zero: Zero = None,
    same_camera: SameCamera = None,
    test_share: Annotated[
        float | None,
        typer.Option(
            help="Where all images are training images: the share of identities that become the "
            "test, such as 0.5."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Another seed divides otherwise.")] = 0,
    plugin: Plugins = None,
    data_root: DataRoot = None,
) -> None:
    """Write a manifest that lists a dataset's images; the images stay where they are."""
    from benchbox.data.importing import write_manifest
    from benchbox.data.scanning import scan_dataset

    said = {"pattern": pattern, "zero": zero, "same_camera": same_camera}
    source, place = _asked(dataset, said, plugin, data_root=data_root, size="tiny")
    scan = source.scan(place) if source else scan_dataset(place)
    counts = write_manifest(scan, out, test_share=test_share, seed=seed)
    told = ", ".join(f"{number} {split}" for split, number in counts.items())
    console = make_console()
    console.print(f"{out}: {told}. Name it manifest:{out}", highlight=False, soft_wrap=True)


def _asked(
    dataset: str,
    said: Mapping[str, str | None],
    plugins: list[Path] | None,
    *,
    data_root: Path | None,
    size: str,
) -> "tuple[Source | None, Path]":
    """Return what a dataset is asked as (None for a bare folder), and where it lies."""
    from benchbox.data.finding import find_dataset
    from benchbox.data.sources import MANIFEST_PREFIX, PATH_PREFIX, SOURCES, source_of

    settings = {key: value for key, value in said.items() if value is not None}
    known = _known(tuple(plugins)) if plugins else SOURCES
    if dataset not in known and not dataset.startswith((PATH_PREFIX, MANIFEST_PREFIX)):
        place = Path(dataset)
        if not place.is_file() and not settings:
            return None, place
        dataset = f"{MANIFEST_PREFIX if place.is_file() else PATH_PREFIX}{dataset}"
    sources = {dataset: source_of(dataset, known)}
    if settings:
        from benchbox.runs.opening import sources_as_set

        sources = sources_as_set([dataset], {dataset: settings}, known)
    place = find_dataset(dataset, data_root=data_root, sidewalk_size=size, sources=sources)
    return sources[dataset], place


def _known(plugins: tuple[Path, ...]) -> "Mapping[str, Source]":
    # It imports PyTorch, for which a check need not wait.
    from benchbox.runs.registry import load_registry

    return load_registry(plugins).datasets
