"""What a site shows of its boards: verified entries in blocks, ranked, published rows apart."""

import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchbox.errors import BenchboxError, CheckFailed
from benchbox.files.printable import printable
from benchbox.leaderboard.board_protocol import PROTOCOL_FILE, Protocol, read_protocol
from benchbox.leaderboard.entry.files import file_name
from benchbox.leaderboard.entry.record import Entry
from benchbox.leaderboard.site.published import PublishedRow, published_groups, published_rows
from benchbox.leaderboard.site.rank_groups import RankGroup, rank_groups
from benchbox.leaderboard.verifying.verify import VerifiedEntry, verify
from benchbox.published.record import PublishedSource
from benchbox.results.measurements import Group


@dataclass(frozen=True)
class Row:
    """An entry on its board.

    Attributes:
        entry: what was submitted, and verified since.
        rank: within its block, from 1; None for a suspect entry, which is shown but not ranked.
        group: the ranks that its interval does not tell apart; None for a suspect entry.
        sign: what marks it in its block's plot: the rank, or the letter of a suspect entry.
    """

    entry: Entry
    rank: int | None
    group: RankGroup | None
    sign: str

    @property
    def stem(self) -> str:
        """The name of its files on the site, without their endings."""
        return file_name(self.entry).removesuffix(".json")

    @property
    def worst(self) -> float:
        """The mAP that ranks it: the worst case at the smallest budget, in percent."""
        return self.entry.worst_case[0].mAP.mean

    @property
    def failed(self) -> tuple[str, ...]:
        """The names of the sanity checks that failed."""
        return tuple(check.name for check in self.entry.checks if check.outcome == "fail")

    @property
    def not_run(self) -> tuple[str, ...]:
        """The names of the sanity checks that were not run."""
        return tuple(check.name for check in self.entry.checks if check.outcome == "not run")


ANY_BACKBONE = "any backbone"
"""What the block of a board is headed that ranks all backbones together."""


@dataclass(frozen=True)
class Block:
    """Entries that may be compared: one pair of datasets, one protocol version, one backbone.

    A board that takes any model ranks all backbones together.

    Attributes:
        group: backbone, train and test dataset.
        protocol: what all entries of the block were measured by.
        rows: ranked ones first, then suspect ones.
        published: what papers printed for this group under these conditions.
    """

    group: Group
    protocol: Protocol
    rows: tuple[Row, ...]
    published: tuple[PublishedRow, ...]


@dataclass(frozen=True)
class Board:
    """A board with all its blocks.

    Attributes:
        protocol: its current version.
        blocks: those of the current version first.
    """

    protocol: Protocol
    blocks: tuple[Block, ...]

    @property
    def name(self) -> str:
        """The board's name, which is a folder of the site."""
        return self.protocol.board

    @property
    def rows(self) -> tuple[Row, ...]:
        """The entries of all blocks."""
        return tuple(row for block in self.blocks for row in block.rows)


def read_boards(boards: Path, published: Sequence[PublishedSource]) -> tuple[Board, ...]:
    """Return every board of a folder, after verifying all entries.

    Args:
        boards: the folder that holds all boards, or that of one board.
        published: sources of published numbers.

    Raises:
        CheckFailed: an entry is not what its board's protocol asks for; one line each.
        BenchboxError: the folder holds no board, or a protocol is malformed.
    """
    if boards.is_file():
        raise BenchboxError(f"{printable(boards)}: is a file; expected a folder with boards.")
    found = verify([boards])
    if found.problems:
        lines = [f"{problem}." for problem in found.problems]
        what = "1 problem" if len(lines) == 1 else f"{len(lines)} problems"
        raise CheckFailed("\n".join([*lines, f"No site was built: {what} in the entries."]))
    folders = [boards] if (boards / PROTOCOL_FILE).exists() else sorted(boards.iterdir())
    return tuple(
        _board(folder, [one for one in found.entries if one.path.parent == folder], published)
        for folder in folders
        if (folder / PROTOCOL_FILE).exists()
    )


def ranked(entries: Iterable[Entry]) -> tuple[Row, ...]:
    """Return entries by their worst-case mAP at the smallest budget, the most robust first.

    A suspect entry takes no place: its number may be the attack's failure. Equal numbers share
    a place, and the next place is as many further down; `rank_groups` says which are one group.
    """
    ordered = sorted(entries, key=lambda e: (-e.worst_case[0].mAP.mean, file_name(e)))
    trusted = [entry for entry in ordered if entry.status != "suspect"]
    values = [entry.worst_case[0].mAP.mean for entry in trusted]
    ranks = [1 + values.index(value) for value in values]
    worst = [entry.worst_case[0].mAP for entry in trusted]
    groups = rank_groups([(interval.low, interval.high) for interval in worst])
    rows = [Row(e, r, g, str(r)) for e, r, g in zip(trusted, ranks, groups, strict=True)]
    suspect = (entry for entry in ordered if entry.status == "suspect")
    return (*rows, *(Row(entry, None, None, _letter(at)) for at, entry in enumerate(suspect)))


def _letter(place: int) -> str:
    """Return a to z, then aa to zz, and so on."""
    return string.ascii_lowercase[place % 26] * (1 + place // 26)


def _board(
    folder: Path, verified: Sequence[VerifiedEntry], published: Sequence[PublishedSource]
) -> Board:
    current = read_protocol(folder)
    protocols = {current.version: current, **{one.entry.version: one.protocol for one in verified}}
    by_place: dict[tuple[int, Group], list[Entry]] = {
        (current.version, group): [] for group in published_groups(published, current)
    }
    for one in verified:
        group = one.entry.group
        if one.protocol.takes_any_model:
            group = group._replace(backbone=ANY_BACKBONE)
        by_place.setdefault((one.entry.version, group), []).append(one.entry)

    def order(place: tuple[int, Group]) -> tuple[object, ...]:
        version, group = place
        names = [dataset.name for dataset in current.datasets]
        known = [names.index(n) if n in names else len(names) for n in (group.train, group.test)]
        return (-version, group.train != group.test, *known, not by_place[place], group)

    blocks = []
    for version, group in sorted(by_place, key=order):
        protocol = protocols[version]
        rows = ranked(by_place[version, group])
        blocks.append(Block(group, protocol, rows, published_rows(published, protocol, group)))
    return Board(current, tuple(blocks))
