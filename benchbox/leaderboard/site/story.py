"""What a block of a board says in a sentence and a few rows, both made from its numbers."""

from dataclasses import dataclass

from benchbox.leaderboard.entry.numbers import Interval
from benchbox.leaderboard.site.axes import Axis, percent_axis
from benchbox.leaderboard.site.boards import Block, Board, Row
from benchbox.results.conditions import fraction_of_255
from benchbox.results.measurements import Group

_TOP = 3


@dataclass(frozen=True)
class Bar:
    """The interval of the mAP that ranks an entry, on an axis of 100 units.

    Attributes:
        low: where the interval begins.
        width: how long it is; thin ones are made wide enough to be seen.
        at: where the mean stands.
    """

    low: float
    width: float
    at: float


@dataclass(frozen=True)
class Front:
    """A block as the first page shows it.

    Attributes:
        block: the block.
        sentence: who leads, by how much, and whether that is more than the intervals.
        rows: the first three, then the first entry outside the leader's group, with their bars.
        end: what the bars' axis ends at, in percent.
    """

    block: Block
    sentence: str
    rows: tuple[tuple[Row, Bar], ...]
    end: float


def fronts(board: Board) -> list[Front]:
    """Return what the first page shows of a board: of each group its newest block with entries.

    A new version of a protocol has no entries at first; until it has, those of the version before
    are shown, which the page marks.
    """
    newest: dict[Group, Block] = {}
    for block in board.blocks:  # in falling order of the protocol's version
        if block.rows:
            newest.setdefault(block.group, block)
    return [front(block) for block in newest.values()]


def front(block: Block) -> Front:
    """Return what the first page shows of a block, which has an entry at least."""
    ranked = _ranked(block)
    shown = ranked[:_TOP]
    outside = next((row for row in ranked if row.group != ranked[0].group), None)
    if outside is not None and outside not in shown:
        shown.append(outside)
    axis = percent_axis([_interval(row).high for row in shown], start=0, end=100)
    bars = tuple((row, _bar(axis, _interval(row))) for row in shown)
    return Front(block, sentence(block), bars, axis.high)


def sentence(block: Block) -> str:
    """Return who leads a block, which has an entry at least, and what parts it from the others."""
    ranked = _ranked(block)
    if not ranked:
        return "No entry is ranked: each failed a sanity check."
    leader, group = ranked[0], ranked[0].group
    budget = fraction_of_255(block.protocol.budgets_255[0])
    says = (
        f"{leader.entry.title} keeps {leader.worst:.1f} of "
        f"{leader.entry.clean.mAP.mean:.1f} mAP under the worst attack at {budget}"
    )
    if len(ranked) == 1 or group is None:
        return f"{says} (95% interval {_ends(leader)}), and no other entry is ranked."
    after = next((row for row in ranked if row.group != group), None)
    if group.size == 1 and after is not None:
        return (
            f"{says}, more than the next, {after.entry.title}, with {after.worst:.1f}: "
            f"their 95% intervals ({_ends(leader)} and {_ends(after)}) do not overlap."
        )
    if after is None:
        return (
            f"{says}, but all {group.size} ranked entries are one group: their 95% intervals "
            f"overlap the leader’s, {_ends(leader)}."
        )
    return (
        f"{says}, but ranks {group.title} are one group, whose 95% intervals overlap the leader’s "
        f"({_ends(leader)}); the next, {after.entry.title}, keeps {after.worst:.1f}."
    )


def _ranked(block: Block) -> list[Row]:
    return [row for row in block.rows if row.rank is not None]


def _interval(row: Row) -> Interval:
    return row.best_known


def _ends(row: Row) -> str:
    interval = _interval(row)
    return f"{interval.low:.1f}–{interval.high:.1f}"


def _bar(axis: Axis, interval: Interval) -> Bar:
    low, high, mean = (axis.at(value) for value in (interval.low, interval.high, interval.mean))
    return Bar(low, round(max(high - low, 0.6), 1), mean)
