"""The leaderboard's commands: submit, verify, build, regress, new-defense."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from benchbox.errors import BenchboxError, CheckFailed
from benchbox.files.console import make_console, progress_bar
from benchbox.files.printable import printable

BOARDS = Path("leaderboards")

_SEED_DIGITS = 16

Plugins = Annotated[
    list[Path] | None,
    typer.Option("--plugin", help="A Python file with your own defense or attack; repeatable."),
]
Boards = Annotated[Path, typer.Option(help="The folder that holds the boards.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
DataRoot = Annotated[
    Path | None,
    typer.Option(help="Folder with the datasets [default: $BENCHBOX_DATA or the user's cache]."),
]

board_app = typer.Typer(help="Verify a leaderboard, build its site.", no_args_is_help=True)


def submit(
    run: Annotated[Path, typer.Argument(help="A finished run's folder.")],
    defense: Annotated[str, typer.Option(help="The defense's name, as in results.csv.")],
    board: Annotated[str, typer.Option(help="Name of the board.")] = "sidewalk-small",
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
    from benchbox.leaderboard.board_protocol import read_protocol
    from benchbox.leaderboard.submitting.check_groups import check_groups
    from benchbox.leaderboard.submitting.submit import SubmitOptions, groups_to_check
    from benchbox.leaderboard.submitting.submit import submit as write

    require_board_name(board)
    console = make_console()
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
    groups = groups_to_check(options)
    checks = {}
    if not allow_unchecked:
        with progress_bar(console, "sanity checks") as progress:
            checks = check_groups(
                run,
                read_protocol(options.board),
                groups,
                defense,
                plugins=tuple(plugin or ()),
                device=device,
                progress=progress,
            )
    submission = write(options, checks=checks)
    for path, entry in zip(submission.paths, submission.entries, strict=True):
        line = printable(f"{entry.status}: {path}")
        console.print(line, highlight=False, markup=False, soft_wrap=True)
        for check in entry.checks:
            if check.outcome == "fail":
                line = f"  {check.name}: {check.says}"
                console.print(line, highlight=False, markup=False, soft_wrap=True)


@board_app.command("verify")
def verify(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Entries or boards [default: all boards].")
    ] = None,
    boards: Boards = BOARDS,
    rerun: Annotated[
        bool,
        typer.Option("--rerun", help="Recompute one entry's numbers and checks from its weights."),
    ] = False,
    weights: Annotated[
        list[str] | None, typer.Option(help="SEED=FILE, for --rerun; every seed of the entry.")
    ] = None,
    plugin: Plugins = None,
    device: Device = "auto",
    data_root: DataRoot = None,
) -> None:
    """Check schema, digests, protocol and plausibility of entries; exit 1 if one is wrong."""
    from benchbox.leaderboard.verifying.rerun import RerunOptions
    from benchbox.leaderboard.verifying.rerun import rerun as recompute
    from benchbox.leaderboard.verifying.verify import verify as check

    console = make_console()
    found = check(files or [boards])
    for problem in found.problems:
        console.print(str(problem), highlight=False, markup=False, soft_wrap=True)
    said = f"{_counted(len(found.paths), 'entry', 'entries')}, "
    said += _counted(len(found.problems), "problem", "problems")
    if found.problems:
        raise CheckFailed(f"{said}, listed above.")
    console.print(said, highlight=False)
    if not rerun:
        return
    if not files or len(files) != 1:
        raise BenchboxError("--rerun recomputes one entry: name its file.")
    options = RerunOptions(
        weights=_by_seed(weights or []),
        plugins=tuple(plugin or ()),
        device=device,
        data_root=data_root,
    )
    with progress_bar(console, "recomputing") as progress:
        outcome = recompute(files[0], options, progress=progress)
    for line in outcome.problems:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    said = f"{len(outcome.numbers)} numbers recomputed, tolerance {outcome.tolerance:g} mAP, "
    said += f"{_counted(len(outcome.checks), 'sanity check', 'sanity checks')} repeated"
    if outcome.problems:
        raise CheckFailed(f"{said}: {len(outcome.problems)} differ, listed above.")
    console.print(f"{said}: all agree", highlight=False)


def require_board_name(name: str) -> None:
    """Check that a board is named, and not a path that leaves the folder of boards.

    Raises:
        BenchboxError: it is no name.
    """
    from benchbox.untrusted.json import as_record
    from benchbox.untrusted.text import Name

    as_record(name, Name, where="--board")


def _counted(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _by_seed(given: list[str]) -> dict[int, Path]:
    """Return seed → file of ``SEED=FILE`` texts."""
    found: dict[int, Path] = {}
    for text in given:
        seed, equals, file = text.partition("=")
        plain = seed.isascii() and seed.isdecimal() and len(seed) <= _SEED_DIGITS
        if not equals or not plain or not file or int(seed) in found:
            raise BenchboxError(
                f"--weights {printable(text[:200])}: expected SEED=FILE, such as "
                "0=weights.safetensors, each seed once."
            )
        found[int(seed)] = Path(file)
    return found


@board_app.command("build")
def build(
    out: Annotated[Path, typer.Option(help="Folder to write the site into.")] = Path("site"),
    boards: Boards = BOARDS,
) -> None:
    """Write the boards as static pages that open from disk."""
    from benchbox.leaderboard.site.build import build_site

    written = build_site(boards, out)
    line = printable(f"{len(written)} files: {out / 'index.html'}")
    make_console().print(line, highlight=False, markup=False, soft_wrap=True)


def regress(
    baseline: Annotated[Path, typer.Argument(help="The baseline, a JSON file.")],
    run: Annotated[Path | None, typer.Option(help="A finished run, instead of a grid.")] = None,
    grid: Annotated[Path | None, typer.Option(help="[default: the baseline's own.]")] = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder.")] = None,
    store: Annotated[Path | None, typer.Option(help="Folder of finished stages.")] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0: one per core.")] = 0,
    plugin: Plugins = None,
    device: Device = "auto",
    data_root: DataRoot = None,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML here.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write a comment here.")] = None,
    minimum_effect: Annotated[
        float, typer.Option(min=0, help="Points of mAP below which no drop counts.")
    ] = 1.0,
    level: Annotated[
        float, typer.Option(min=1e-5, max=0.49, help="Chance of a false alarm, whole table.")
    ] = 0.01,
    two_sided: Annotated[
        bool, typer.Option("--two-sided", help="A gain beyond noise is red too.")
    ] = False,
    trust_seeds: Annotated[
        bool,
        typer.Option("--trust-seeds", help="The same seed gives the same weights here."),
    ] = False,
    update: Annotated[
        bool, typer.Option("--update", help="Write the baseline anew and print what changes.")
    ] = False,
) -> None:
    """Compare a run with a baseline; exit 1 if robustness regressed beyond noise."""
    from benchbox.regression.criteria import Criteria
    from benchbox.regression.run import RegressOptions
    from benchbox.regression.run import regress as compare
    from benchbox.runs.runner import Options

    status = compare(
        RegressOptions(
            baseline=baseline,
            run=run,
            grid=grid,
            out=out,
            running=Options(
                device=device,
                plugins=tuple(plugin or ()),
                workers=workers,
                data_root=data_root,
                store=store,
            ),
            criteria=Criteria(
                minimum_effect=minimum_effect,
                level=level,
                two_sided=two_sided,
                trust_seeds=trust_seeds,
            ),
            junit=junit,
            markdown=markdown,
            update=update,
        ),
        make_console(),
    )
    raise typer.Exit(status)


def regress_speed(
    baseline: Annotated[Path, typer.Argument(help="pytest-benchmark's JSON, the old one.")],
    new: Annotated[Path, typer.Argument(help="pytest-benchmark's JSON, the new one.")],
    reference: Annotated[str, typer.Option(help="The benchmark all others are divided by.")],
    threshold: Annotated[float, typer.Option(help="Slower from this many times as long.")] = 1.3,
) -> None:
    """Compare benchmarks as ratios to one of their own run; exit 1 if one got slower."""
    from benchbox.regression.speed import compare_speed, speed_table
    from benchbox.tables.as_rich import FittedTable

    comparison = compare_speed(baseline, new, reference=reference, threshold=threshold)
    console = make_console()
    console.print(FittedTable(speed_table(comparison)))
    console.print(comparison.verdict_line, highlight=False, markup=False, soft_wrap=True)
    raise typer.Exit(0 if comparison.ok else 1)


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


def register(app: typer.Typer) -> None:
    """Add the leaderboard's commands to the command line."""
    app.add_typer(board_app, name="leaderboard")
    app.command("submit")(submit)
    app.command("regress")(regress)
    app.command("regress-speed")(regress_speed)
    app.command("new-defense")(new_defense)
