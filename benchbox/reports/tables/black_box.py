"""The black-box table: what queries attacked on one model do to another."""

import statistics
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from benchbox.reports.tables.wording import CONVENTION_TITLES, MISSING, mean_and_std, split_sizes
from benchbox.results.conditions import Condition
from benchbox.results.measurements import Group, Measurements, Score, measurements
from benchbox.results.record import Names
from benchbox.results.run_folder import condition_of
from benchbox.tables.table import Header, Table, TableCell

Source = tuple[str, str]
"""Backbone and defense of the model that the queries were attacked on."""

STRONGER = 1.0
"""Points of mAP by which a black-box attack must beat the white-box one to be marked."""

_MATRIX = (
    "Queries attacked on the row's model, shown to the column's model, which had no part in making "
    "them. The first row of a block is each model under its own attack; where row and column are "
    "the same model, the value is that one."
)
_MASKED = (
    f"Bold and *: leaves more than {STRONGER:g} point of mAP less than the white-box attack, which "
    "has the model's own gradient: a sign that this gradient is masked."
)


@dataclass(frozen=True)
class Replayed:
    """What every source's queries do to every row.

    Attributes:
        white_box: the run's white-box results, tested where trained first, then elsewhere.
        sources: the models that queries were attacked on, in the order of the file.
        scores: (source, group, target's defense, condition) → seed → score.
    """

    white_box: tuple[Measurements, ...]
    sources: tuple[Source, ...]
    scores: dict[tuple[Source, Group, str, Condition], dict[int, Score]]

    def places(self) -> Iterator[tuple[Measurements, Group, Condition]]:
        """Yield every block of the table: a group under one attack and budget."""
        for cells in self.white_box:
            for group in cells.groups:
                for condition in cells.conditions:
                    if not condition.is_clean:
                        yield cells, group, condition

    def gain(self, source: Source, group: Group, target: str, condition: Condition) -> float | None:
        """Return by how much mAP the source's queries beat the target's own, over common seeds.

        None where source and target are one model, or nothing can be compared.
        """
        if source == (group.backbone, target):
            return None
        theirs = self.scores.get((source, group, target, condition), {})
        own = {
            seed: score
            for cells in self.white_box
            for seed, score in cells.at(group, target, condition).items()
        }
        gains = [own[seed].mAP - theirs[seed].mAP for seed in theirs if seed in own]
        return statistics.fmean(gains) if gains else None


def replayed(black_box: pd.DataFrame, results: pd.DataFrame, names: Names) -> Replayed:
    """Return black_box.csv by place, beside the white-box results it is held against."""
    white_box = tuple(measurements(results, names, pairs=pairs) for pairs in ("same", "transfer"))
    scores: dict[tuple[Source, Group, str, Condition], dict[int, Score]] = {}
    sources: dict[Source, None] = {}
    for row in black_box.to_dict("records"):
        source = (str(row["source_backbone"]), str(row["source_defense"]))
        group = Group(row["backbone"], row["train_dataset"], row["test_dataset"])
        sources[source] = None
        place = (source, group, str(row["defense"]), condition_of(row))
        score = Score(float(row["mAP"]), float(row["rank1"]), str(row["cell"]))
        scores.setdefault(place, {})[int(row["seed"])] = score
    return Replayed(white_box, tuple(sources), scores)


def black_box_table(black_box: pd.DataFrame, results: pd.DataFrame, names: Names) -> Table:
    """Return mAP/Rank-1 as a matrix: who made the perturbations down, whom they hit across.

    Args:
        black_box: black_box.csv.
        results: results.csv.
        names: titles, order and plan.
    """
    cells = replayed(black_box, results, names)
    targets = names.sorted("defenses", black_box["defense"])
    rows: list[tuple[TableCell, ...]] = []
    for own, group, condition in cells.places():
        labels = [*own.group_titles(group), own.condition_title(condition)]
        scores = [own.at(group, target, condition) for target in targets]
        lines = [("itself (white-box)", [_cell(list(s.values()), stronger=False) for s in scores])]
        for source in cells.sources:
            line = []
            for target in targets:
                found = cells.scores.get((source, group, target, condition), {})
                gain = cells.gain(source, group, target, condition)
                line.append(
                    _cell(list(found.values()), stronger=gain is not None and gain > STRONGER)
                )
            if any(cell.text != MISSING for cell in line):
                lines.append((source_title(source, group, names), line))
        rows += [(*map(TableCell, labels), TableCell(title), *line) for title, line in lines]
    header = tuple(
        Header(text)
        for text in (
            *("Model", "Dataset", "Attack", "Queries attacked on"),
            *(names.title("defenses", target) for target in targets),
        )
    )
    return Table(
        "Black-box robustness",
        _caption(cells, results),
        (header,),
        tuple(rows),
        group_columns=3,
        label_columns=4,
        on_page=f"{_MATRIX} {_resized(names)}{_MASKED}",
    )


def stronger_than_white_box(cells: Replayed) -> list[str]:
    """Return each place where a model's own gradient finds less than another model's queries do."""
    found = []
    for own, group, condition in cells.places():
        for source in cells.sources:
            for target in own.defenses:
                gain = cells.gain(source, group, target, condition)
                if gain is not None and gain > STRONGER:
                    found.append(
                        f"{own.group_title(group)}, {own.names.title('defenses', target)} under "
                        f"{own.condition_title(condition)} made on "
                        f"{source_title(source, group, own.names)} ({gain:.2f} points below)"
                    )
    return found


def source_title(source: Source, group: Group, names: Names) -> str:
    """Return the model that queries were attacked on, its backbone where that is another."""
    backbone, defense = source
    title = names.title("defenses", defense)
    return (
        title if backbone == group.backbone else f"{title} ({names.title('backbones', backbone)})"
    )


def _cell(scores: list[Score], *, stronger: bool) -> TableCell:
    if not scores:
        return TableCell(MISSING)
    values = ([score.mAP for score in scores], [score.rank1 for score in scores])
    return TableCell("/".join(map(mean_and_std, values)) + ("*" if stronger else ""), bold=stronger)


def _resized(names: Names) -> str:
    """Return that queries change their size between models; nothing where all take one."""
    if not any(stated.image_size for stated in names.given.values()):
        return ""
    return "Shown to a model of another size, queries are resized (bilinear, antialiased). "


def _caption(cells: Replayed, results: pd.DataFrame) -> str:
    seeds = sorted({seed for scores in cells.scores.values() for seed in scores})
    several = (
        f"Mean±sample standard deviation (n − 1) over seeds {', '.join(map(str, seeds))}; a source "
        "has the seed of its target."
        if len(seeds) > 1
        else f"One run per cell, seed {seeds[0]}."
    )
    own = [part for part in cells.white_box if part.groups]
    return (
        f"mAP/Rank-1 in %, measured on this machine: {_MATRIX[0].lower()}{_MATRIX[1:]} Average "
        "precision in "
        f"{CONVENTION_TITLES[str(results['ap_convention'].iloc[0])]}. {several} "
        f"{_resized(cells.white_box[0].names)}"
        f"{' '.join(split_sizes(results, part) for part in own[:1])} {_MASKED}"
    )
