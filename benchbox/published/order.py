"""In which order a paper's table puts defenses, condition by condition."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchbox.published.record import PublishedCell, PublishedSource

Attacked = tuple[str, float]
"""Attack and budget in units of 1/255; ``none`` and 0 for clean."""


@dataclass(frozen=True)
class PublishedOrder:
    """The mAP of one block of a paper's table.

    Attributes:
        source: the paper.
        table: its number of the table.
        train: name of the dataset trained on.
        test: name of the dataset tested on.
        backbone: name of the network.
        values: (attack, budget) → defense → mAP in percent.
    """

    source: PublishedSource
    table: str
    train: str
    test: str
    backbone: str
    values: Mapping[Attacked, Mapping[str, float]]

    def lowest(self, eps_255: float) -> dict[str, float]:
        """Return defense → the lowest mAP that is printed at a budget."""
        found: dict[str, float] = {}
        for (_, budget), values in self.values.items():
            for defense, value in values.items() if budget == eps_255 else ():
                found[defense] = min(value, found.get(defense, value))
        return found


def published_orders(published: Sequence[PublishedSource]) -> Iterator[PublishedOrder]:
    """Yield the blocks of all papers' tables, in the papers' order."""
    for source in published:
        blocks: dict[tuple[str, str, str, str], list[PublishedCell]] = {}
        for cell in source.cells:
            place = (cell.table, cell.train_dataset, cell.test_dataset, cell.backbone)
            blocks.setdefault(place, []).append(cell)
        for (table, train, test, backbone), cells in blocks.items():
            values: dict[Attacked, dict[str, float]] = {}
            for cell in cells:
                of_condition = values.setdefault((cell.attack, cell.eps_255), {})
                of_condition[cell.defense] = float(cell.mAP)
            yield PublishedOrder(source, table, train, test, backbone, values)
