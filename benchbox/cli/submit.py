"""`benchbox submit`: a defense of a finished run becomes entries of a board."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchbox.cli.options import BOARDS, Boards, Device, Plugins, RunFolder
from benchbox.cli.present import require_run
from benchbox.errors import unknown_name
from benchbox.files.bundled import bundled_boards, copy_new
from benchbox.files.console import make_console, progress_bar
from benchbox.files.printable import printable

if TYPE_CHECKING:
    from benchbox.leaderboard.submitting.prepare import SubmitOptions


def submit(
    run: RunFolder,
    defense: Annotated[str, typer.Option(help="The defense's name, as in results.csv.")],
    board: Annotated[str, typer.Option(help="Name of the board.")] = "sidewalk-tiny",
    boards: Boards = BOARDS,
    paper: Annotated[str | None, typer.Option(help="Its web address.")] = None,
    code: Annotated[str | None, typer.Option(help="Its web address.")] = None,
    weights: Annotated[str | None, typer.Option(help="Web address of the weights.")] = None,
    authors: Annotated[str | None, typer.Option(help="As you want to be named.")] = None,
    note: Annotated[str | None, typer.Option(help="What a reader should know.")] = None,
    plugin: Plugins = None,
    device: Device = "auto",
    allow_unchecked: Annotated[
        bool, typer.Option("--allow-unchecked", help="Skip the sanity checks; the entry says so.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Overwrite the entry that is on the board.")
    ] = False,
) -> None:
    """Check a defense of a finished run, and write its entries for a board."""
    require_run(run)
    require_board_name(board)

    from benchbox.leaderboard.submitting.prepare import SubmitOptions

    options = SubmitOptions(
        run=run,
        defense=defense,
        board=boards / board,
        paper=paper,
        code=code,
        weights=weights,
        authors=authors,
        note=note,
        allow_unchecked=allow_unchecked,
        replace=replace,
    )
    with _with_protocol(options.board):
        _submit(options, tuple(plugin or ()), device)


def _submit(options: "SubmitOptions", plugins: tuple[Path, ...], device: str) -> None:
    """Run the sanity checks, write the entries, and print what became of them."""
    from benchbox.leaderboard.submitting.check_groups import check_groups
    from benchbox.leaderboard.submitting.prepare import prepare
    from benchbox.leaderboard.submitting.submit import submit as write

    console = make_console()
    prepared = prepare(options, plugins=plugins)
    checks = {}
    if not options.allow_unchecked:
        with progress_bar(console, "sanity checks") as progress:
            checks = check_groups(
                prepared.artefacts,
                prepared.registry,
                prepared.protocol,
                prepared.groups,
                options.defense,
                device=device,
                progress=progress,
            )
    submission = write(prepared, checks=checks)
    for path, entry in zip(submission.paths, submission.entries, strict=True):
        line = printable(f"{entry.status}: {path}")
        console.print(line, highlight=False, markup=False, soft_wrap=True)
        for check in entry.checks:
            if check.outcome == "fail":
                line = f"  {check.name}: {check.says}"
                console.print(line, highlight=False, markup=False, soft_wrap=True)


@contextmanager
def _with_protocol(board: Path) -> Iterator[None]:
    """Give a board that has no folder yet the protocol of benchbox's board of that name.

    Where the submission is refused, nothing stays behind.

    Raises:
        BenchboxError: there is no protocol of that name.
    """
    written: list[Path] = []
    fresh = not board.exists()
    if not (board / "protocol.toml").exists():
        known = bundled_boards()
        if board.name not in known:
            raise unknown_name("board", board.name, known, where=printable(board.parent))
        written = copy_new(known[board.name], board)
    try:
        yield
    except BaseException:
        for path in written:
            path.unlink()
        if fresh:
            board.rmdir()
        raise
    for path in written:
        line = printable(f"written: {path}")
        make_console().print(line, highlight=False, markup=False, soft_wrap=True)


def require_board_name(name: str) -> None:
    """Check that a board is named, and not a path that leaves the folder of boards.

    Raises:
        BenchboxError: it is no name.
    """
    from benchbox.untrusted.json import as_record
    from benchbox.untrusted.text import Name

    as_record(name, Name, where="--board")
