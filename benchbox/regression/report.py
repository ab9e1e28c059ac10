"""What a comparison with a baseline says, in sentences and tables."""

from collections.abc import Sequence

from benchbox.regression.baseline_record import Baseline, BaselineCell
from benchbox.regression.comparison import ComparedCell, Comparison
from benchbox.regression.place import Place
from benchbox.reports.tables.wording import CONVENTION_TITLES, MISSING
from benchbox.tables.table import Header, Table, TableCell


def verdict_line(comparison: Comparison) -> str:
    """Return one sentence: is it red, and why."""
    count = len(comparison.cells)
    regressed, improved = (len(comparison.having(v)) for v in ("regressed", "improved"))
    gained = f"; {improved} improved" if improved else ""
    if regressed:
        return f"Robustness regressed in {regressed} of {count} cells{gained}."
    if comparison.red:
        return (
            f"Robustness rose beyond noise in {improved} of {count} cells: explain it, or accept "
            "it with --update."
        )
    if all(cell.verdict == "same" for cell in comparison.cells):
        return f"No regression: all {count} cells are as they were."
    return f"No regression in {count} cells{gained}."


def comparison_table(
    comparison: Comparison, cells: Sequence[ComparedCell] | None = None, *, title: str = ""
) -> Table:
    """Return the differences, a row a cell.

    Args:
        comparison: the run beside its baseline.
        cells: those that get a row; by default all.
        title: the table's; by default it names the baseline.
    """
    rows = [_row(cell) for cell in (comparison.cells if cells is None else cells)]
    labels = ("Model", "Dataset", "Defense", "Attack", "Seeds")
    headings = (*labels, "Old", "New", "Difference", "At most", "Verdict")
    return Table(
        title or f"{comparison.baseline.name}: the run beside its baseline",
        caption(comparison),
        (tuple(map(Header, headings)),),
        tuple(tuple(TableCell(text, bold=bold) for text in texts) for texts, bold in rows),
        group_columns=2,
        label_columns=5,
    )


def caption(comparison: Comparison) -> str:
    """Return what one must know to read the differences."""
    criteria, noise = comparison.criteria, comparison.noise
    convention = CONVENTION_TITLES[comparison.baseline.ap_convention]
    retrained = sum(cell.model == "retrained" for cell in comparison.cells)
    trust = " (models of the same seed taken for the same)" if criteria.trust_seeds else ""
    gains = " A gain beyond noise is red too." if criteria.two_sided else ""
    own = noise.degrees_measured
    spread = "declared" if not own else f"declared, and measured with {own} degrees of freedom"
    trained = [
        f"{retrained} cells have other weights than the baseline{trust}; the spread of "
        f"retraining is {spread}."
    ]
    if all(cell.is_given for cell in comparison.baseline.cells):
        trained = []
    return " ".join(
        [
            f"mAP in %, mean over the seeds; average precision in {convention}. At most: the upper "
            f"confidence bound of the difference, for all {len(comparison.cells)} cells together "
            f"at {100 * (1 - criteria.level):g}% (Bonferroni; paired bootstrap of identities, and "
            "the spread of retraining where the weights differ). Regressed: this bound is below 0 "
            f"and the difference below −{criteria.minimum_effect:g}.{gains} The median cell is "
            f"seen to regress from {comparison.reach:.1f} points on.",
            *trained,
            *_given(comparison),
            *comparison.remarks,
        ]
    )


def _given(comparison: Comparison) -> list[str]:
    """Return what is to be said of given models: nothing where there are none."""
    given = sum(cell.is_given for cell in comparison.baseline.cells)
    changed = sum(cell.model == "exchanged" for cell in comparison.cells)
    if not given:
        return []
    return [
        f"{given} cells are of given models, {changed} with other tensors: what they measure on "
        "these queries holds no chance, so every fall beyond the minimum effect is a regression."
    ]


def in_words(cell: ComparedCell) -> str:
    """Return a compared cell as one line."""
    bound = f"at most {_signed(cell.upper)}"
    if cell.verdict == "improved":
        bound = f"at least {_signed(cell.lower)}"
    return (
        f"{cell.place}: mAP {cell.old:.2f} → {cell.new:.2f} ({_signed(cell.difference)}, {bound}): "
        f"{cell.verdict}"
    )


def update_table(old: Baseline | None, new: Baseline) -> Table:
    """Return what an update of a baseline changes, to review: a row a cell that is in either."""
    before, after = old.by_place if old else {}, new.by_place
    rows = []
    for place in dict.fromkeys([*before, *after]):
        was, now = before.get(place), after.get(place)
        difference = _signed(now.mAP - was.mAP) if was and now else MISSING
        what = "changed" if was and now else ("added" if now else "removed")
        if was and now and was.seeds == now.seeds:
            what = "same"
        texts = (*_labels(place), *map(_level, (was, now)), difference, what)
        rows.append(tuple(TableCell(text, bold=what in ("added", "removed")) for text in texts))
    headings = ("Model", "Dataset", "Defense", "Attack", "Old", "New", "Difference", "What")
    return Table(
        f"{new.name}: what the update changes",
        "mAP in %, mean over the seeds. The new baseline is what later runs are held against: "
        "review every fall.",
        (tuple(map(Header, headings)),),
        tuple(rows),
        group_columns=2,
        label_columns=4,
    )


def _row(cell: ComparedCell) -> tuple[tuple[str, ...], bool]:
    old, new = (", ".join(map(str, seeds)) for seeds in cell.seeds)
    seeds = old if old == new else f"{old} → {new}"
    values = (f"{cell.old:.2f}", f"{cell.new:.2f}", _signed(cell.difference), _signed(cell.upper))
    labels = (*_labels(cell.place), seeds)
    return (*labels, *values, cell.verdict), cell.verdict in ("regressed", "improved")


def _labels(place: Place) -> tuple[str, str, str, str]:
    return place.backbone, place.data, place.defense, place.attack


def _level(cell: BaselineCell | None) -> str:
    return MISSING if cell is None else f"{cell.mAP:.2f}"


def _signed(points: float) -> str:
    # Adding 0.0 makes a rounded minus zero plain zero.
    return f"{round(points, 2) + 0.0:+.2f}"
