"""`benchbox leaderboard`: verify entries, challenge one, and build the boards' site."""

from pathlib import Path
from typing import Annotated

import typer

from benchbox.cli.options import BOARDS, Boards, DataRoot, Device, Plugins
from benchbox.cli.present import require_there
from benchbox.errors import BenchboxError, CheckFailed
from benchbox.files.console import make_console, progress_bar
from benchbox.files.printable import printable

_SEED_DIGITS = 16

board_app = typer.Typer(
    help="Verify a leaderboard, challenge an entry, build the site.", no_args_is_help=True
)


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
    require_there(*(files or [boards]))

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
        weights=_by_seed(weights or [], "--weights"),
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


def _counted(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _by_seed(given: list[str], option: str) -> dict[int, Path]:
    """Return seed → file of ``SEED=FILE`` texts."""
    found: dict[int, Path] = {}
    for text in given:
        seed, equals, file = text.partition("=")
        plain = seed.isascii() and seed.isdecimal() and len(seed) <= _SEED_DIGITS
        if not equals or not plain or not file or int(seed) in found:
            raise BenchboxError(
                f"{option} {printable(text[:200])}: expected SEED=FILE, such as "
                "0=file.safetensors, each seed once."
            )
        found[int(seed)] = Path(file)
    return found


@board_app.command("challenge")
def challenge(
    entry: Annotated[Path, typer.Argument(help="The entry's file on its board.")],
    images: Annotated[
        list[str],
        typer.Option(
            help="SEED=FILE: adversarial queries against that seed's model, as .npy, .safetensors "
            "or a folder of PNGs."
        ),
    ],
    by: Annotated[str, typer.Option(help="Who found them, as you want to be named.")],
    address: Annotated[str, typer.Option(help="Web address of the queries or of their making.")],
    weights: Annotated[
        list[str] | None, typer.Option(help="SEED=FILE; every seed of the entry.")
    ] = None,
    plugin: Plugins = None,
    device: Device = "auto",
    data_root: DataRoot = None,
) -> None:
    """Rank your adversarial queries; where they win, the entry's best known number falls."""
    require_there(entry)
    by_seed = _by_seed(images, "--images")

    from benchbox.leaderboard.challenging.challenge import challenge as rank
    from benchbox.leaderboard.verifying.rerun import RerunOptions

    console = make_console()
    options = RerunOptions(
        weights=_by_seed(weights or [], "--weights"),
        plugins=tuple(plugin or ()),
        device=device,
        data_root=data_root,
    )
    with progress_bar(console, "ranking") as progress:
        outcome = rank(entry, by_seed, options, by=by, address=address, progress=progress)
    for seed, left in outcome.found.items():
        console.print(f"seed {seed}: the queries leave {left:.2f} mAP", highlight=False)
    if outcome.path is None:
        raise CheckFailed(f"not below the best known number, {outcome.before:.2f} mAP.")
    said = f"best known: {outcome.before:.2f} -> {outcome.after:.2f} mAP"
    line = printable(f"{said}, written: {outcome.path}")
    console.print(line, highlight=False, markup=False, soft_wrap=True)


@board_app.command("build")
def build(
    out: Annotated[Path, typer.Option(help="Folder to write the site into.")] = Path("site"),
    boards: Boards = BOARDS,
    plugin: Plugins = None,
) -> None:
    """Write the boards as static pages that open from disk."""
    require_there(boards)

    from benchbox.leaderboard.site.build import build_site

    written = build_site(boards, out, plugins=tuple(plugin or ()))
    line = printable(f"{len(written)} files: {out / 'index.html'}")
    make_console().print(line, highlight=False, markup=False, soft_wrap=True)
