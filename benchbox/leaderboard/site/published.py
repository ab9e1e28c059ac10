"""The published rows that stand beside a board's own, and never among them."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from benchbox.leaderboard.board_protocol import Protocol
from benchbox.published.record import Paper, PublishedCell, PublishedSource
from benchbox.results.conditions import CLEAN_ATTACK
from benchbox.results.measurements import Group

AttackAndBudget = tuple[str, float]
"""An attack's name and its budget in 1/255; the board's protocol fixes the rest."""


@dataclass(frozen=True)
class PublishedRow:
    """What a paper printed for one defense, under the conditions of a board.

    Attributes:
        source: the NAME of the published files.
        about: the paper.
        tables: the paper's tables that print these very numbers.
        label: what the paper calls the defense; several names are parted by `` / ``.
        defense: its registry name here.
        values: attack and budget → (mAP, Rank-1) in percent, with the paper's decimals.
    """

    source: str
    about: Paper
    tables: tuple[str, ...]
    label: str
    defense: str
    values: dict[AttackAndBudget, tuple[Decimal, Decimal]]


def published_rows(
    published: Sequence[PublishedSource], protocol: Protocol, group: Group
) -> tuple[PublishedRow, ...]:
    """Return the published rows of a group, in the order of their sources.

    A cell is taken where datasets, backbone, attack, budget and steps are the board's; papers
    seldom state their step size, so that it is not compared. A row needs one attacked cell.
    """
    places = {(c.attack, c.eps_255, c.steps) for c in protocol.conditions}
    rows: list[PublishedRow] = []
    for source in published:
        found: dict[tuple[str, str, str], dict[AttackAndBudget, tuple[Decimal, Decimal]]] = {}
        for cell in source.cells:
            place = (cell.attack, cell.eps_255, cell.steps)
            if place in places and _group_of(cell) == group:
                values = found.setdefault((cell.table, cell.row, cell.defense), {})
                values[cell.attack, cell.eps_255] = (cell.mAP, cell.rank1)
        tables: dict[tuple[str, tuple[object, ...]], list[tuple[str, str]]] = {}
        for (table, label, defense), values in found.items():
            if any(attack != CLEAN_ATTACK for attack, _ in values):
                same = (defense, tuple(sorted(values.items())))
                tables.setdefault(same, []).append((table, label.split(" / ")[-1]))
        for (defense, values_there), printed in tables.items():
            rows.append(
                PublishedRow(
                    source.source,
                    source.about,
                    tuple(dict.fromkeys(table for table, _ in printed)),
                    " / ".join(dict.fromkeys(label for _, label in printed)),
                    defense,
                    dict(values_there),  # type: ignore[arg-type]
                )
            )
    return tuple(rows)


def published_groups(published: Sequence[PublishedSource], protocol: Protocol) -> tuple[Group, ...]:
    """Return the groups of a board that papers have printed numbers for."""
    names = {dataset.name for dataset in protocol.datasets}
    groups = dict.fromkeys(
        group
        for source in published
        for group in map(_group_of, source.cells)
        if {group.train, group.test} <= names
        and (not protocol.backbones or group.backbone in protocol.backbones)
    )
    return tuple(group for group in groups if published_rows(published, protocol, group))


def _group_of(cell: PublishedCell) -> Group:
    return Group(cell.backbone, cell.train_dataset, cell.test_dataset)
