"""``benchbox leaderboard verify``: is each entry what its board's protocol asks for?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from benchbox.errors import BenchboxError
from benchbox.files.printable import printable
from benchbox.leaderboard.board_protocol import Protocol, read_protocol
from benchbox.leaderboard.entry.challenges import Challenge, read_challenges
from benchbox.leaderboard.entry.files import entry_paths, read_entry
from benchbox.leaderboard.entry.record import Entry
from benchbox.leaderboard.on_protocol import grid_deviations, size_deviations
from benchbox.leaderboard.verifying.plausibility import implausibilities
from benchbox.runs.grid import Grid
from benchbox.untrusted.grid_toml import as_toml
from benchbox.untrusted.json import as_record


@dataclass(frozen=True)
class EntryFault:
    """One fault of one entry.

    Attributes:
        path: the entry's file.
        says: the key and what is wrong with it.
    """

    path: Path
    says: str

    def __str__(self) -> str:
        """Return one line that names the file."""
        return printable(f"{self.path}: {self.says}")


@dataclass(frozen=True)
class VerifiedEntry:
    """An entry without a fault.

    Attributes:
        path: its file.
        entry: what stands there.
        protocol: the version of its board's protocol that it was measured by.
        challenges: what others took off its worst case, in the order they came.
    """

    path: Path
    entry: Entry
    protocol: Protocol
    challenges: tuple[Challenge, ...] = ()


@dataclass(frozen=True)
class Verification:
    """What a verification found; each file was read once for it.

    Attributes:
        paths: the files that were looked at.
        entries: those without a fault, in the same order.
        problems: what is wrong with the others; none for a good board.
    """

    paths: tuple[Path, ...]
    entries: tuple[VerifiedEntry, ...]
    problems: tuple[EntryFault, ...]


def verify(places: Sequence[Path]) -> Verification:
    """Check entries: schema, name, digest, protocol, plausibility.

    Args:
        places: entries, folders of boards, or the folder that holds all boards.

    Raises:
        BenchboxError: a place holds no entry and no board.
    """
    paths = tuple(dict.fromkeys(path for place in places for path in entry_paths(place)))

    @cache
    def protocol_of(board: Path, version: int) -> Protocol:
        return read_protocol(board, version=version)

    entries, problems = [], []
    for path in paths:
        found = _examined(path, protocol_of)
        if isinstance(found, VerifiedEntry):
            entries.append(found)
        else:
            problems += [EntryFault(path, says) for says in found]
    return Verification(paths, tuple(entries), tuple(problems))


def _examined(
    path: Path, protocol_of: Callable[[Path, int], Protocol]
) -> VerifiedEntry | list[str]:
    """Return an entry, or what is wrong with it: a line each."""
    try:
        entry = read_entry(path)
        protocol = protocol_of(path.absolute().parent, entry.version)
        challenges = read_challenges(path, entry)
        said = [*implausibilities(entry, protocol), *_configuration(entry, protocol)]
    except BenchboxError as error:
        return [str(error).removeprefix(f"{printable(path)}: ").removesuffix(".")]
    return said or VerifiedEntry(path, entry, protocol, challenges)


def _configuration(entry: Entry, protocol: Protocol) -> list[str]:
    """Return where the grid that an entry says it was run with is off the protocol."""
    grid = as_record(entry.provenance.grid, Grid, where="provenance.grid")
    # The site offers it as a file; what cannot be written would keep all boards from being built.
    as_toml(entry.provenance.grid, where="provenance.grid")
    found = [f"provenance.grid: {says}" for says in _off(entry, grid, protocol)]
    pair = (entry.train.name, entry.test.name)
    planned = [*((name, name) for name in grid.datasets), *grid.transfers]
    if entry.given is not None:
        stated = entry.given.trained_on
        planned = [(stated or name, name) for name in (*grid.datasets, *(b for _, b in planned))]
    if pair not in planned:
        found.append("provenance.grid: datasets: does not plan this pair")
    if entry.given is None and entry.backbone not in grid.backbones:
        found.append(f"provenance.grid: backbones: {entry.backbone} is missing")
    if entry.defense.name not in grid.defenses:
        found.append(f"provenance.grid: defenses: {entry.defense.name} is missing")
    return found


def _off(entry: Entry, grid: Grid, protocol: Protocol) -> list[str]:
    """Return where a grid, and how a given model is used, is off the protocol."""
    found = grid_deviations(grid, protocol, is_given=entry.given is not None)
    described = entry.provenance.defense.get("given")
    if (entry.given is None) != (described is None):
        found.append("the defense is described as given, or the entry, but not both")
    return found + size_deviations(entry.provenance.defense, protocol)
