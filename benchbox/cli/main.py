"""The command line: a thin layer over functions a notebook can call.

Heavy modules are imported inside the commands, so that ``--help`` and typing errors are instant.
"""

import sys
from typing import Annotated

import typer
from rich.console import Console

from benchbox import __version__
from benchbox.cli import board, regression, run, scaffold, submit
from benchbox.cli.calibrate import calibrate
from benchbox.cli.data import data_app
from benchbox.cli.evaluate import evaluate
from benchbox.cli.grids import grids_app
from benchbox.cli.listing import list_names
from benchbox.cli.options import Plugins, Published, RunFolder
from benchbox.cli.present import require_run
from benchbox.cli.reporting import write_report_of
from benchbox.cli.study import study_app
from benchbox.cli.weights import weights_app
from benchbox.errors import BenchboxError
from benchbox.files.console import make_console, print_anything
from benchbox.files.printable import printable
from benchbox.shadowing import require_own_packages

_LINE = 1_000
"""Characters of an error's line that are printed."""

app = typer.Typer(
    name="benchbox",
    help="The benchmark of adversarially robust person re-identification.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("run")(run.run)
app.command("demo")(run.demo)
app.command("calibrate")(calibrate)


@app.command()
def report(folder: RunFolder, plugin: Plugins = None) -> None:
    """Write a run's tables, all its figures and report.html."""
    require_run(folder)
    write_report_of(folder, make_console(), depth="all", plugins=tuple(plugin or ()))


@app.command("compare")
def compare_run(
    folder: RunFolder,
    published: Published = None,
) -> None:
    """Print measured, published and difference for every cell that a run and papers share."""
    require_run(folder)

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


app.add_typer(grids_app, name="grids")
app.add_typer(data_app, name="data")
app.add_typer(study_app, name="study")
app.add_typer(board.board_app, name="leaderboard")
app.add_typer(weights_app, name="weights")
app.command("list")(list_names)
app.command("evaluate")(evaluate)
app.command("submit")(submit.submit)
app.command("regress")(regression.regress)
app.command("regress-speed")(regression.regress_speed)
app.command("new-defense")(scaffold.new_defense)


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
        print_anything()
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
