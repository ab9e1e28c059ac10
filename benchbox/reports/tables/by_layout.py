"""The tables of a run, laid out as the paper's Tables 2 to 5."""

import statistics
from collections.abc import Callable, Iterable
from itertools import groupby

import pandas as pd

from benchbox.reports.layouts import WHITE_BOX, Layout
from benchbox.reports.tables.caption import caption_of, own_caption
from benchbox.reports.tables.training_protocol import COST_COLUMNS, cost_texts, has_costs
from benchbox.reports.tables.wording import (
    MISSING,
    NEAR_CHANCE,
    mean_and_std,
)
from benchbox.results.conditions import Condition
from benchbox.results.measurements import Group, Measurements, Place, Score, measurements
from benchbox.results.near_chance import collapsed_seeds
from benchbox.results.record import Names
from benchbox.tables.table import Header, Table, TableCell

# A cell's text and the mAP that bold type is decided by; None where nothing was measured.
_Shown = tuple[str, float | None]


def over_seeds(results: pd.DataFrame, names: Names, layout: Layout = WHITE_BOX) -> Table:
    """Return mAP/Rank-1, or what else the grid shows, of every defense, over all seeds.

    With one seed a cell is that run's result; with more it is mean±std, the sample standard
    deviation (n − 1). A mean over fewer seeds than the table's gives its n.

    Args:
        results: results.csv, as :func:`benchbox.results.run_folder.read_results` returns it.
        names: titles, order and plan.
        layout: which of the paper's tables.

    Raises:
        BenchboxError: two rows have the same place in the table.
    """
    cells = measurements(results, names, pairs=layout.pairs, rows=layout.rows)
    seeds = ", ".join(map(str, cells.seeds))
    if len(cells.seeds) == 1:
        how = f"One run per cell, seed {seeds}."
    else:
        how = f"Mean±sample standard deviation (n − 1) over n = {len(cells.seeds)} seeds ({seeds})."

    def show(place: Place) -> _Shown:
        return _over_seeds(list(cells.at(*place).values()), expected=cells.expected[place[:2]])

    def collapsed(group: Group, defense: str) -> bool:
        return bool(collapsed_seeds(cells, group, defense))

    caption = caption_of(results, cells, how)
    return _lay_out(
        cells,
        layout,
        show,
        collapsed,
        title=layout.title,
        caption=caption,
        on_page=own_caption(cells),
    )


def best_run(results: pd.DataFrame, names: Names, layout: Layout = WHITE_BOX) -> Table:
    """Return the numbers of each defense's best run, the way the paper reports.

    Zhou et al. 2025 "run each experiment three times and report the best-performing result"
    without saying best in what. Here a row is one run, never a mixture of several: the seed with
    the highest mAP averaged over all columns, clean included. Only a seed with every column filled
    can be chosen, since means over different columns do not compare. On a tie the lower seed wins.

    Raises:
        BenchboxError: two rows have the same place in the table.
    """
    cells = measurements(results, names, pairs=layout.pairs, rows=layout.rows)
    chosen = {(g, d): best_seed(cells, g, d) for g in cells.groups for d in cells.rows_of(g)}
    how = (
        f"Each row is one run of {len(cells.seeds)} (seeds {', '.join(map(str, cells.seeds))}): "
        "the one with the highest mAP averaged over all columns, chosen on these very test "
        "queries. That flatters every row: compare by mean±std."
    )
    incomplete = sum(seed is None for seed in chosen.values())
    if incomplete:
        how += f" {incomplete} of {len(chosen)} rows have no complete run yet."

    def show(place: Place) -> _Shown:
        seed = chosen[place[0], place[1]]
        scores = [] if seed is None else [cells.at(*place)[seed]]
        return _over_seeds(scores, expected=1)

    def seed_of(group: Group, defense: str) -> str:
        seed = chosen[group, defense]
        return MISSING if seed is None else str(seed)

    def collapsed(group: Group, defense: str) -> bool:
        return chosen[group, defense] in collapsed_seeds(cells, group, defense)

    title = f"{layout.title}, best of {len(cells.seeds)} runs"
    caption = caption_of(results, cells, how)
    return _lay_out(
        cells,
        layout,
        show,
        collapsed,
        title=title,
        caption=caption,
        on_page=f"{how}{own_caption(cells)}",
        extra=("Seed", seed_of),
    )


def best_seed(cells: Measurements, group: Group, defense: str) -> int | None:
    """Return the seed with the highest mean mAP over all conditions; None if none is complete."""
    means: dict[int, float] = {}
    for seed in cells.seeds:
        scores = [cells.at(group, defense, c).get(seed) for c in cells.conditions]
        complete = [score.mAP for score in scores if score is not None]
        if len(complete) == len(scores):
            means[seed] = statistics.fmean(complete)
    collapsed = collapsed_seeds(cells, group, defense)
    return max(means, key=lambda seed: (seed not in collapsed, means[seed]), default=None)


def _over_seeds(scores: list[Score], *, expected: int) -> _Shown:
    if not scores:
        return MISSING, None
    note = f" (n={len(scores)})" if len(scores) < expected else ""
    mean_map = statistics.fmean(score.mAP for score in scores)
    texts = [mean_and_std(list(values)) for values in zip(*(s.shown for s in scores), strict=True)]
    return "/".join(texts) + note, mean_map


def _lay_out(
    cells: Measurements,
    layout: Layout,
    show: Callable[[Place], _Shown],
    collapsed: Callable[[Group, str], bool],
    *,
    title: str,
    caption: str,
    on_page: str,
    extra: tuple[str, Callable[[Group, str], str]] | None = None,
) -> Table:
    """Lay cells out as one of the paper's tables, with one more label column if asked for.

    What a training cost stands last, where the run says so.
    """
    labels = ["Model", "Dataset", layout.row_heading, *([extra[0]] if extra else [])]
    conditions, top, below = condition_columns(cells, layout)
    if priced := has_costs(cells):
        top.append(Header("Training", columns=len(COST_COLUMNS)))
        below += COST_COLUMNS
    rows: list[tuple[TableCell, ...]] = []
    for group in cells.groups:
        defenses = cells.rows_of(group)
        shown = [[show((group, d, c)) for c in conditions] for d in defenses]
        marked = [collapsed(group, defense) for defense in defenses]
        # A collapsed model has nothing to lose: it is not compared.
        compared = [row for row, mark in zip(shown, marked, strict=True) if not mark]
        best = [_best(value for _, value in column) for column in zip(*compared, strict=True)]
        best = best or [None] * len(conditions)
        for defense, values, mark in zip(defenses, shown, marked, strict=True):
            name = layout.row_titles.get(defense) or cells.names.title("defenses", defense)
            texts = [*cells.group_titles(group), name + (NEAR_CHANCE if mark else "")]
            if extra:
                texts.append(extra[1](group, defense))
            printed = [_printed(value) for _, value in values]
            rows.append(
                (
                    *(TableCell(text) for text in texts),
                    *(
                        TableCell(text, bold=not mark and value is not None and value == top_one)
                        for (text, _), value, top_one in zip(values, printed, best, strict=True)
                    ),
                    *map(TableCell, cost_texts(cells, group, defense) if priced else ()),
                )
            )
    header = (
        (*(Header(text) for text in labels), *top),
        (*(Header("") for _ in labels), *below),
    )
    return Table(
        title,
        caption,
        header,
        tuple(rows),
        group_columns=2,
        label_columns=len(labels),
        on_page=on_page.strip(),
    )


def condition_columns(
    cells: Measurements, layout: Layout
) -> tuple[list[Condition], list[Header], list[Header]]:
    """Return the conditions in the layout's order, and the two header rows over them."""

    def attack(condition: Condition) -> str:
        return cells.names.title("attacks", condition.attack)

    outer, inner = (attack, cells.budget) if layout.over == "attack" else (cells.budget, attack)
    clean = [condition for condition in cells.conditions if condition.is_clean]
    attacked = [condition for condition in cells.conditions if not condition.is_clean]
    if layout.over == "budget":
        # Stable, so that attacks keep their order within a budget.
        attacked.sort(key=lambda c: (c.eps_255, c.steps, c.step_size_255))
    top, below = [Header("Clean") for _ in clean], [Header("") for _ in clean]
    for name, same in groupby(attacked, key=outer):
        conditions = list(same)
        top.append(Header(name, columns=len(conditions)))
        below += [Header(inner(condition)) for condition in conditions]
    return [*clean, *attacked], top, below


def _printed(value: float | None) -> str | None:
    return None if value is None else f"{value:.2f}"


def _best(values: Iterable[float | None]) -> str | None:
    """Return the highest mAP as printed; None where fewer than two are there to compare.

    What prints alike is bold alike: two decimals do not say which of the two is better.
    """
    measured = [value for value in values if value is not None]
    return _printed(max(measured)) if len(measured) > 1 else None
