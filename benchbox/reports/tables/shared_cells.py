"""The cells that a run and papers share: what was measured against what was printed."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from benchbox.published.record import PublishedPlace, PublishedSource
from benchbox.results.conditions import Condition
from benchbox.results.measurements import Group, Measurements, measurements
from benchbox.results.run_folder import RunFolder

Mark = Literal["beyond", "within", "one seed"]

_BEYOND = 2.0
"""Sample standard deviations a difference must exceed to be marked."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One metric of a cell, measured and published, in percent.

    Attributes:
        mean: what was measured, as the mean over the seeds.
        std: sample standard deviation (n − 1) of that over the seeds; None with one seed.
        published: the paper's number, with as many decimals as it prints.
    """

    mean: float
    std: float | None
    published: Decimal

    @property
    def difference(self) -> float:
        """Measured − published, in percentage points."""
        return self.mean - float(self.published)

    @property
    def mark(self) -> Mark:
        """Whether the difference exceeds two standard deviations of the run's own seeds."""
        if self.std is None:
            return "one seed"
        return "beyond" if abs(self.difference) > _BEYOND * self.std else "within"


@dataclass(frozen=True, slots=True)
class SharedCell:
    """A cell that a run measured and a paper printed.

    Attributes:
        group: backbone, training dataset and test dataset.
        defense: the defense's name in the registry.
        condition: clean queries, or the attack with the run's step size.
        cells: ids of the run's cells, one a seed.
        mAP: mean average precision in percent, measured and published.
        rank1: Rank-1 in percent, measured and published.
        source: name of the paper's file of numbers, without ending.
        tables: the paper's tables that print this very number.
    """

    group: Group
    defense: str
    condition: Condition
    cells: tuple[str, ...]
    mAP: Difference  # noqa: N815  the field's own name
    rank1: Difference
    source: str
    tables: tuple[str, ...]


def difference(values: Sequence[float], published: Decimal) -> Difference:
    """Return how the values of a cell's seeds, at least one, compare with a published number."""
    std = statistics.stdev(values) if len(values) > 1 else None
    return Difference(statistics.fmean(values), std, published)


def shared_cells(run: RunFolder, published: Iterable[PublishedSource]) -> tuple[SharedCell, ...]:
    """Return the cells that run and papers share, in the order of the run's tables.

    Shared means: the same datasets, backbone, defense, attack, budget and steps. The run's step
    size is not compared, since papers seldom state theirs. A number that several tables of a paper
    repeat stands there once; where they disagree, each value stands for itself. A run on held-out
    training identities shares nothing: its dataset only has the same name.

    Raises:
        BenchboxError: two rows of the results have the same place and seed.
    """
    if _is_validation(run):
        return ()
    printed: dict[PublishedPlace, dict[tuple[str, Decimal, Decimal], list[str]]] = {}
    for source in published:
        for cell in source.cells:
            value = (source.source, cell.mAP, cell.rank1)
            printed.setdefault(cell.place, {}).setdefault(value, []).append(cell.table)
    compared = []
    for measured in both_pairs(run):
        for group, defense, c in measured.places():
            scores = list(measured.at(group, defense, c).values())
            place = (group.train, group.test, group.backbone, defense, c.attack, c.eps_255, c.steps)
            values = printed.get(place, {}) if scores else {}
            for (source_name, mean_ap, rank1), tables in values.items():
                compared.append(
                    SharedCell(
                        group,
                        defense,
                        c,
                        cells=tuple(score.cell for score in scores),
                        mAP=difference([score.mAP for score in scores], mean_ap),
                        rank1=difference([score.rank1 for score in scores], rank1),
                        source=source_name,
                        tables=tuple(dict.fromkeys(tables)),
                    )
                )
    return tuple(compared)


def nothing_shared(run: RunFolder, published: Iterable[PublishedSource]) -> str:
    """Return one sentence on why a run has nothing to compare: what is published, what it has."""
    if _is_validation(run):
        return (
            "Nothing to compare: the run measured identities held out of training, and published "
            "numbers are of the test queries."
        )
    places = [cell.place for source in published for cell in source.cells]
    datasets = sorted({name for place in places for name in place[:2]})
    backbones = sorted({place[2] for place in places})
    frame = run.results
    own = sorted({*frame["train_dataset"], *frame["test_dataset"]})
    return (
        "Nothing to compare: no cell of the run is one that a paper printed. Published are "
        f"{', '.join(datasets)} with {', '.join(backbones)}; the run has {', '.join(own)} with "
        f"{', '.join(sorted(set(frame['backbone'])))}, and defense, attack, budget and steps must "
        "be the same too."
    )


def both_pairs(run: RunFolder) -> tuple[Measurements, Measurements]:
    """Return what was measured on the dataset trained on, and what on another one."""
    names = run.record.names
    same = measurements(run.results, names, pairs="same")
    return same, measurements(run.results, names, pairs="transfer")


def _is_validation(run: RunFolder) -> bool:
    return bool(run.record.grid.get("validation"))
