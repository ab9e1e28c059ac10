"""The tables of corruptions: what chance leaves of each defense, and which corruption takes it."""

import statistics
from collections.abc import Mapping, Sequence

import pandas as pd

from attacks.corruptions.titles import TITLES
from benchbox.reports.tables.wording import (
    CONVENTION_TITLES,
    MISSING,
    mean_and_std,
    split_sizes,
)
from benchbox.results.conditions import CLEAN
from benchbox.results.corrupted_scores import Swept, swept_scores
from benchbox.results.measurements import Group, Measurements, Pairs, Score, measurements
from benchbox.results.record import Names
from benchbox.runs.record import CellRecord
from benchbox.tables.table import Header, Table, TableCell

_MEANS = (
    "mAP/Rank-1 in %. In every repeat each image of the corrupted side draws one corruption and "
    "one severity (Market-1501-C's protocol, Chen et al. 2021); nobody aims them, and they have no "
    "budget. "
)
_BY_KIND = (
    "mAP in % where all queries are corrupted alike and the gallery is clean, by severity from 1 "
    "to 5, and the mean over severities. "
)
_PAIRS: Mapping[Pairs, str] = {"same": "", "transfer": ", on unseen domains"}


def corruption_table(
    results: pd.DataFrame, cells_of_run: Mapping[str, CellRecord], names: Names, *, pairs: Pairs
) -> Table | None:
    """Return clean beside corrupted queries, gallery and both; None for a run without them.

    Args:
        results: results.csv.
        cells_of_run: cell → what run.json has of it: the spread over repeats.
        names: titles, order and plan.
        pairs: ``same`` for models tested where they were trained, ``transfer`` for the others.
    """
    corrupted = measurements(results, names, pairs=pairs, under="corruption")
    if not corrupted.scores:
        return None
    clean = measurements(results, names, pairs=pairs)
    header = ["Model", "Dataset", "Defense", "Clean"]
    header += [corrupted.condition_title(condition) for condition in corrupted.conditions]
    rows = []
    for group in corrupted.groups:
        best = _best(clean, corrupted, group)
        for defense in corrupted.rows_of(group):
            labels = [*corrupted.group_titles(group), names.title("defenses", defense)]
            values = [clean.at(group, defense, CLEAN)]
            values += [corrupted.at(group, defense, c) for c in corrupted.conditions]
            cells = [
                TableCell(_text([*of.values()], cells_of_run), bold=_map(of) == top is not None)
                for of, top in zip(values, best, strict=True)
            ]
            rows.append((*map(TableCell, labels), *cells))
    spread = _spread_in_words(corrupted, cells_of_run)
    return Table(
        f"Corruptions{_PAIRS[pairs]}",
        f"{_MEANS}{spread} Measured on this machine. Average precision in "
        f"{CONVENTION_TITLES[str(results['ap_convention'].iloc[0])]}. "
        f"{split_sizes(results, corrupted)} Bold: highest mAP of a column within its block.",
        (tuple(map(Header, header)),),
        tuple(rows),
        group_columns=2,
        label_columns=3,
        on_page=f"{_MEANS}{spread}",
    )


def corruptions_by_kind(swept: pd.DataFrame, names: Names, *, pairs: Pairs) -> Table | None:
    """Return mAP by corruption and severity of each defense; None without any of these pairs.

    Args:
        swept: corruption.csv.
        names: titles and order.
        pairs: as in `corruption_table`.
    """
    scores = swept_scores(swept, names, pairs=pairs)
    if not scores.groups:
        return None
    columns = (*map(str, scores.severities), "mean")
    top, below = [Header(text) for text in ("Model", "Dataset", "Corruption")], [Header("")] * 3
    for defense in scores.defenses:
        top.append(Header(names.title("defenses", defense), columns=len(columns)))
        below += map(Header, columns)
    rows = [
        (*map(TableCell, (*scores.group_titles(group), title)), *_line(scores, group, kinds))
        for group in scores.groups
        for title, kinds in [*((TITLES[kind], (kind,)) for kind in scores.kinds), *_all(scores)]
    ]
    seeds = "" if len(scores.seeds) == 1 else f"Means over {len(scores.seeds)} seeds. "
    return Table(
        f"Each corruption{_PAIRS[pairs]}",
        f"{_BY_KIND}{seeds}Measured on this machine.",
        (tuple(top), tuple(below)),
        tuple(rows),
        group_columns=2,
        label_columns=3,
        on_page=f"{_BY_KIND}{seeds}",
    )


def _all(scores: Swept) -> list[tuple[str, tuple[str, ...]]]:
    return [("All", scores.kinds)] if len(scores.kinds) > 1 else []


def _line(scores: Swept, group: Group, kinds: Sequence[str]) -> list[TableCell]:
    """Return the cells of some corruptions together: each defense by severity, and its mean."""
    cells = []
    for defense in scores.defenses:
        by_severity = [scores.mean(group, defense, kinds, [s]) for s in scores.severities]
        values = (*by_severity, scores.mean(group, defense, kinds, scores.severities))
        cells += [TableCell(MISSING if value is None else f"{value:.1f}") for value in values]
    return cells


def _map(scores: Mapping[int, Score]) -> float | None:
    return statistics.fmean(score.mAP for score in scores.values()) if scores else None


def _best(clean: Measurements, corrupted: Measurements, group: Group) -> list[float | None]:
    """Return the highest mAP of each column of a block; None where it has no value."""
    columns = [(clean, CLEAN), *((corrupted, condition) for condition in corrupted.conditions)]
    found = []
    for cells, condition in columns:
        values = [_map(cells.at(group, d, condition)) for d in corrupted.rows_of(group)]
        found.append(max((value for value in values if value is not None), default=None))
    return found


def _text(scores: Sequence[Score], cells_of_run: Mapping[str, CellRecord]) -> str:
    """Return mAP/Rank-1, each ± its deviation over seeds, or over repeats where there is one."""
    if not scores:
        return MISSING
    if len(scores) > 1:
        return "/".join(mean_and_std([getattr(s, of) for s in scores]) for of in ("mAP", "rank1"))
    record = cells_of_run.get(scores[0].cell)
    spread = record.spread if record else {}
    return "/".join(
        f"{getattr(scores[0], name):.2f}" + (f"±{spread[name]:.2f}" if name in spread else "")
        for name in ("mAP", "rank1")
    )


def _spread_in_words(cells: Measurements, cells_of_run: Mapping[str, CellRecord]) -> str:
    used = {score.cell for by_seed in cells.scores.values() for score in by_seed.values()}
    numbers = sorted({cells_of_run[cell].repeats for cell in used if cell in cells_of_run})
    repeats = " or ".join(map(str, numbers)) or "several"
    over = "seeds" if len(cells.seeds) > 1 else "repeats"
    return f"Mean over {repeats} repeats; ± is the sample standard deviation (n − 1) over {over}."
