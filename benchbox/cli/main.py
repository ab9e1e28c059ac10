"""The command line: a thin layer over functions a notebook can call.

Heavy modules are imported inside the commands, so that ``--help`` and typing errors are instant.
"""

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchbox import __version__
from benchbox.cli import board as leaderboard_commands
from benchbox.errors import BenchboxError
from benchbox.files.console import make_console, progress_bar
from benchbox.files.printable import printable
from benchbox.shadowing import require_own_packages

if TYPE_CHECKING:
    from benchbox.reports.drawings.draw_all import Depth

_LINE = 1_000
"""Characters of an error's line that are printed."""

app = typer.Typer(
    name="benchbox",
    help="The benchmark of adversarially robust person re-identification.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
data_app = typer.Typer(help="Make and check datasets.", no_args_is_help=True)
app.add_typer(data_app, name="data")
study_app = typer.Typer(help="Questions that are no grid.", no_args_is_help=True)
app.add_typer(study_app, name="study")

DataRoot = Annotated[
    Path | None,
    typer.Option(help="Folder with the datasets [default: $BENCHBOX_DATA or the user's cache]."),
]
Plugins = Annotated[
    list[Path] | None,
    typer.Option("--plugin", help="A Python file with your own defense or attack; repeatable."),
]


@app.command()
def run(
    grid: Annotated[Path, typer.Argument(help="The grid, a TOML file.")],
    out: Annotated[
        Path | None, typer.Option(help="The run's folder [default: runs/<name of the grid>].")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    plugin: Plugins = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
    workers: Annotated[
        int, typer.Option(min=0, help="Processes; 0: one per core, or one on a GPU.")
    ] = 0,
    batch_size: Annotated[
        int, typer.Option(min=0, help="Images at a time in attacks; 0: 64, or 256 on a GPU.")
    ] = 0,
    data_root: DataRoot = None,
    store: Annotated[
        Path | None,
        typer.Option(help="Folder of finished stages, which runs may share [default: OUT/store]."),
    ] = None,
) -> None:
    """Execute a grid, or go on with it where it was stopped, and write tables and report."""
    from benchbox.runs.preview import plan_tables
    from benchbox.runs.runner import Options, preview, run_grid

    console = make_console()
    options = Options(
        device=device,
        plugins=tuple(plugin or ()),
        workers=workers,
        batch_size=batch_size,
        data_root=data_root,
        store=store,
    )
    if dry_run:
        plan, missing = preview(grid, options)
        for part in plan_tables(plan, missing):
            console.print(part, soft_wrap=isinstance(part, str), highlight=False)
        return
    folder = out or Path("runs") / grid.stem
    try:
        outcome = run_grid(grid, folder, options, console)
    except KeyboardInterrupt:
        make_console(stderr=True).print("stopped; the same command goes on from here.")
        raise typer.Exit(130) from None
    if outcome.cells:
        _write_report(folder, console, depth="results")
        hint = f"all figures: benchbox report {shlex.quote(str(folder))}"
        console.print(hint, highlight=False, soft_wrap=True)
    if outcome.failures:
        listed = "\n".join(f"  {failure}" for failure in outcome.failures)
        raise BenchboxError(
            f"{len(outcome.failures)} stages failed, {outcome.left_out} that need them were left "
            f"out; what else was done is in {folder}:\n{listed}"
        )


@app.command()
def report(folder: Annotated[Path, typer.Argument(help="A run's folder.")]) -> None:
    """Write a run's tables, all its figures and report.html."""
    _write_report(folder, make_console(), depth="all")


@app.command("compare")
def compare_run(
    folder: Annotated[Path, typer.Argument(help="A run's folder.")],
    published: Annotated[
        Path | None,
        typer.Option(help="Folder of published numbers [default: leaderboards/published]."),
    ] = None,
) -> None:
    """Print measured, published and difference for every cell that a run and papers share."""
    from benchbox.published.reading import read_published
    from benchbox.reports.tables.compare import compare_table, write_compare
    from benchbox.reports.tables.shared_cells import nothing_shared, shared_cells
    from benchbox.results.run_folder import read_run
    from benchbox.tables.as_rich import FittedTable

    console = make_console()
    run, papers = read_run(folder), read_published(published)
    if not shared_cells(run, papers):
        console.print(nothing_shared(run, papers), highlight=False, markup=False, soft_wrap=True)
        return
    console.print(FittedTable(compare_table(run, papers)))
    for path in write_compare(folder, published):
        console.print(f"written: {path}", highlight=False, soft_wrap=True)


def _write_report(folder: Path, console: Console, *, depth: "Depth") -> None:
    from benchbox.reports.report import write_report
    from benchbox.reports.tables.of_run import console_tables, write_tables

    write_tables(folder)
    with progress_bar(console, "drawing") as progress:
        report = write_report(folder, depth=depth, progress=progress)
    for part in console_tables(folder):
        console.print(part)
    for figure in report.left_out:
        text = f"left out: {figure.title}: {figure.reason}"
        console.print(text, highlight=False, markup=False, soft_wrap=True)
    console.print(f"report: {report.path}", highlight=False, soft_wrap=True)


@app.command("list")
def list_names(plugin: Plugins = None) -> None:
    """List the datasets, attacks and defenses a grid may name."""
    from benchbox.data.finding import DATASETS, how_to_get
    from benchbox.runs.registry import load_registry

    registry = load_registry(tuple(plugin or ()))
    table = Table("kind", "name", "in tables", "from")
    for name in DATASETS:
        table.add_row("dataset", name, "", how_to_get(name))
    for name, attack in registry.attacks.items():
        summary = (attack.__doc__ or "").strip().splitlines()[0]
        table.add_row("attack", name, attack.title, summary)
    for name, defense in registry.defenses.items():
        table.add_row("defense", name, defense.title, defense.source)
    make_console().print(table)


@study_app.command("classifier")
def study_classifier(
    cifar: Annotated[
        Path | None,
        typer.Option(help="Folder with cifar-10-batches-py [default: a rendered stand-in]."),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help="small or a timm ResNet; repeatable [default: small, or resnet18]."),
    ] = None,
    epochs: Annotated[
        int, typer.Option(min=0, help="Of adversarial training; 0: 10, or 30 on CIFAR-10.")
    ] = 0,
    dataset: Annotated[str, typer.Option(help="For identities, a ReID dataset.")] = "sidewalk-a",
    sidewalk_size: Annotated[str, typer.Option(help="tiny, small or full.")] = "tiny",
    seed: Annotated[
        list[int] | None, typer.Option(help="One model each; repeatable [default: 0].")
    ] = None,
    out: Annotated[Path, typer.Option(help="The study's folder.")] = Path("runs/study-classifier"),
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    data_root: DataRoot = None,
) -> None:
    """Does robustness live in the classifier? Train, re-fit the classifier, measure (Table 1)."""
    from benchbox.studies.classifier import study_classifier as study
    from benchbox.studies.classifier_options import StudyOptions
    from benchbox.tables.as_rich import FittedTable

    options = StudyOptions(
        cifar=cifar,
        models=tuple(model or ()),
        epochs=epochs,
        dataset=dataset,
        sidewalk_size=sidewalk_size,
        seeds=tuple(seed or (0,)),
        device=device,
        data_root=data_root,
    )
    console = make_console()
    try:
        table = study(out, options, console)
    except KeyboardInterrupt:
        make_console(stderr=True).print("stopped; the same command goes on from here.")
        raise typer.Exit(130) from None
    console.print(FittedTable(table))
    console.print(f"study: {out}", highlight=False, soft_wrap=True)


@data_app.command("make")
def data_make(
    name: Annotated[str, typer.Argument(help="sidewalk-a or sidewalk-b.")],
    size: Annotated[str, typer.Option(help="tiny, small or full.")] = "tiny",
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
    from benchbox.errors import unknown_name

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
    folder: Annotated[Path, typer.Argument(help="A dataset in Market-1501's layout.")],
) -> None:
    """Decode every image, count the splits and name each faulty file; exit 1 if there is one."""
    from rich.progress import Progress

    from benchbox.data.checking import check_dataset
    from benchbox.errors import CheckFailed

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


leaderboard_commands.register(app)


@app.callback(invoke_without_command=True)
def top(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """The benchmark of adversarially robust person re-identification."""
    if version:
        typer.echo(f"benchbox-reid {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line; a user's error is one line and an exit code, never a traceback."""
    errors = Console(stderr=True, soft_wrap=True)
    try:
        require_own_packages()
        app()
    except BenchboxError as error:
        _say(errors, str(error))
        sys.exit(error.exit_code)
    except OSError as error:
        # Such as a name that is too long for the file system, which no command looks out for.
        _say(errors, f"{str(error.filename or '')[:300]}: {error.strerror or error}".lstrip(": "))
        sys.exit(BenchboxError.exit_code)


def _say(console: Console, text: str) -> None:
    """Print an error, whose lines may repeat what a stranger wrote."""
    for line in f"error: {text}".split("\n"):
        shown = printable(line[:_LINE])
        console.print(
            shown if len(line) <= _LINE else f"{shown}…",
            highlight=False,
            markup=False,
            style="red",
        )
