"""``benchbox leaderboard verify``: is each entry what its board's protocol asks for?"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchbox.errors import BenchboxError
from benchbox.files.printable import printable
from benchbox.leaderboard.entry.files import entry_paths, read_entry
from benchbox.leaderboard.entry.record import Entry
from benchbox.leaderboard.on_protocol import grid_deviations
from benchbox.leaderboard.protocol import Protocol, read_protocol
from benchbox.leaderboard.verifying.plausibility import implausibilities
from benchbox.runs.grid import Grid
from benchbox.untrusted.grid_toml import as_toml
from benchbox.untrusted.json import as_record


@dataclass(frozen=True)
class Problem:
    """One fault of one entry.

    Attributes:
        path: of the entry.
        says: the key and what is wrong with it.
    """

    path: Path
    says: str

    def __str__(self) -> str:
        """Return one line that names the file."""
        return printable(f"{self.path}: {self.says}")


@dataclass(frozen=True)
class Verification:
    """What a verification found.

    Attributes:
        entries: how many were looked at.
        problems: what is wrong with them; none for a good board.
    """

    entries: int
    problems: tuple[Problem, ...]


def verify(places: Sequence[Path]) -> Verification:
    """Check entries: schema, name, digest, protocol, plausibility.

    Args:
        places: entries, folders of boards, or the folder that holds all boards.

    Raises:
        BenchboxError: a place holds no entry and no board.
    """
    paths = list(dict.fromkeys(path for place in places for path in entry_paths(place)))
    problems = [problem for path in paths for problem in problems_of(path)]
    return Verification(len(paths), tuple(problems))


def problems_of(path: Path) -> list[Problem]:
    """Return what is wrong with one entry."""
    prefix = f"{printable(path)}: "
    try:
        entry = read_entry(path)
        protocol = read_protocol(path.absolute().parent, version=entry.version)
        said = [*implausibilities(entry, protocol), *_configuration(entry, protocol)]
    except BenchboxError as error:
        said = [str(error).removeprefix(prefix).removesuffix(".")]
    return [Problem(path, says) for says in said]


def _configuration(entry: Entry, protocol: Protocol) -> list[str]:
    """Return where the grid that an entry says it was run with is off the protocol."""
    grid = as_record(entry.provenance.grid, Grid, where="provenance.grid")
    # The site offers it as a file; what cannot be written would keep all boards from being built.
    as_toml(entry.provenance.grid, where="provenance.grid")
    found = [f"provenance.grid: {says}" for says in grid_deviations(grid, protocol)]
    pair = (entry.train.name, entry.test.name)
    planned = [*((name, name) for name in grid.datasets), *grid.transfers]
    if pair not in planned:
        found.append("provenance.grid: datasets: does not plan this pair")
    if entry.backbone not in grid.backbones:
        found.append(f"provenance.grid: backbones: {entry.backbone} is missing")
    if entry.defense.name not in grid.defenses:
        found.append(f"provenance.grid: defenses: {entry.defense.name} is missing")
    return found
