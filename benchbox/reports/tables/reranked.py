"""The table of rankings: does robustness survive re-ranking?"""

from collections.abc import Sequence

from benchbox.reports.tables.wording import (
    CONVENTION_TITLES,
    MISSING,
    mean_and_std,
    metric_titles,
    split_sizes,
)
from benchbox.reranking.names import PLAIN
from benchbox.reranking.rankings import title_of
from benchbox.results.measurements import Measurements, Pairs, Score, measurements
from benchbox.results.run_folder import RunFolder
from benchbox.runs.columns import RANKING
from benchbox.tables.table import Header, Table, TableCell

_MEANS = (
    "The same queries and galleries, ranked by the plain distance and by others that look at all "
    "of them. Attacks were made against the plain ranking, knowing of no other. What a re-ranking "
    "sees under attack are attacked queries only."
)
_TITLES = {"same": "Re-ranked", "transfer": "Re-ranked, on unseen domains"}


def reranked(run: RunFolder, *, pairs: Pairs) -> Table | None:
    """Return every row under every ranking, clean and attacked; None where there is one ranking.

    Args:
        run: read.
        pairs: ``same`` for models tested where they were trained, ``transfer`` for the others.
    """
    if run.reranked is None:
        return None
    names = run.record.names
    plain = measurements(run.results, names, pairs=pairs)
    found = {PLAIN: plain} | {
        str(ranking): measurements(rows, names, pairs=pairs)
        for ranking, rows in run.reranked.groupby(RANKING, sort=False)
    }
    conditions = plain.conditions
    top = [Header(text) for text in ("Model", "Dataset", "Defense", "Ranking")]
    top += [Header(plain.condition_title(condition)) for condition in conditions]
    rows = []
    for group in plain.groups:
        for defense in plain.rows_of(group):
            for ranking, cells in found.items():
                scores = [list(cells.at(group, defense, each).values()) for each in conditions]
                if not any(scores):
                    continue
                labels = (*plain.group_titles(group), names.title("defenses", defense))
                texts = (*labels, title_of(ranking), *map(_text, scores))
                rows.append(tuple(TableCell(text) for text in texts))
    if not rows:
        return None
    return Table(
        _TITLES[pairs],
        _caption(run, plain),
        (tuple(top),),
        tuple(rows),
        group_columns=2,
        label_columns=4,
        on_page=_MEANS,
    )


def _text(scores: Sequence[Score]) -> str:
    if not scores:
        return MISSING
    columns = zip(*(score.shown for score in scores), strict=True)
    return "/".join(mean_and_std(list(values)) for values in columns)


def _caption(run: RunFolder, cells: Measurements) -> str:
    conventions = sorted({CONVENTION_TITLES.get(c, c) for c in run.results["ap_convention"]})
    metrics = "/".join(metric_titles(run.results, cells.names))
    seeds = ", ".join(map(str, cells.seeds))
    how = (
        f"One run per cell, seed {seeds}."
        if len(cells.seeds) == 1
        else f"Mean±sample standard deviation (n − 1) over seeds {seeds}."
    )
    return (
        f"{metrics} in %, measured on this machine. {_MEANS} Average precision in "
        f"{' and '.join(conventions)}. {how} {split_sizes(run.results, cells)}"
    )
