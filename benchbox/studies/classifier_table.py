"""The classifier study as a table and as a record with provenance."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchbox.results.conditions import fraction_of_255
from benchbox.studies.accuracy import Pgd
from benchbox.studies.cells import StudyCell
from benchbox.studies.material import STAND_IN
from benchbox.studies.paired import Difference, paired_difference
from benchbox.studies.results import CONVERGED, HEADS, Result
from benchbox.tables.table import Header, Table, TableCell

Done = Sequence[tuple[StudyCell, Result]]

_COLUMNS = ("clean", "pgd")
_MISSING = "–"


@dataclass(frozen=True)
class Row:
    """One head of one model, over all seeds.

    Attributes:
        data: title of what the model was trained and tested on.
        model: the backbone's name.
        head: which head, a key of `HEADS`.
        accuracy: ``clean`` and ``pgd`` → the share of images recognised, in [0, 1], one a seed.
        difference: ``clean`` and ``pgd`` → this head's accuracy minus the adversarially trained
            head's on the same images; empty for that head itself.
    """

    data: str
    model: str
    head: str
    accuracy: dict[str, list[float]]
    difference: dict[str, Difference]


def rows_of(done: Done) -> list[Row]:
    """Return the table's rows: models in their order, a row per head."""
    groups: dict[tuple[str, str], list[Result]] = {}
    for cell, result in done:
        groups.setdefault((cell.material.title, cell.backbone), []).append(result)
    rows = []
    for (data, model), results in groups.items():
        for head in HEADS:
            accuracy, difference = {}, {}
            for column in _COLUMNS:
                hits = _stacked(results, head, column)
                accuracy[column] = [float(seed.mean()) for seed in hits]
                if head != "adversarial":
                    before = _stacked(results, "adversarial", column)
                    difference[column] = paired_difference(before, hits)
            rows.append(Row(data, model, head, accuracy, difference))
    return rows


def study_table(done: Done, pgd: Pgd) -> Table:
    """Return accuracies before and after the classifier was fitted again, with differences."""
    rows = rows_of(done)
    printed = [
        (
            TableCell(row.data),
            TableCell(row.model),
            TableCell(HEADS[row.head]),
            *(TableCell(_accuracy(row.accuracy[column])) for column in _COLUMNS),
            *(TableCell(_difference(row.difference.get(column))) for column in _COLUMNS),
        )
        for row in rows
    ]
    labels = ("Data", "Model", "Defense", "Clean", "PGD", "Δ clean (95%)", "Δ PGD (95%)")
    return Table(
        "Robustness that lives in the classifier",
        _caption(done, rows, pgd),
        (tuple(Header(label) for label in labels),),
        tuple(printed),
        group_columns=2,
        label_columns=3,
    )


def _stacked(results: Sequence[Result], head: str, column: str) -> NDArray[np.bool_]:
    return np.stack([result.hits(head, column) for result in results])


def _accuracy(seeds: list[float]) -> str:
    mean = f"{100 * statistics.fmean(seeds):.2f}"
    return mean if len(seeds) == 1 else f"{mean}±{100 * statistics.stdev(seeds):.2f}"


def _difference(difference: Difference | None) -> str:
    if difference is None:
        return _MISSING
    value, low, high = (
        _signed(100 * number) for number in (difference.value, difference.low, difference.high)
    )
    return f"{value} ({low} to {high})"


def _signed(number: float) -> str:
    text = f"{number:+.2f}".replace("-", "−")
    return "0.00" if text[1:] == "0.00" else text


def _caption(done: Done, rows: Sequence[Row], pgd: Pgd) -> str:
    seeds = list(dict.fromkeys(cell.seed for cell, _ in done))
    named = ", ".join(map(str, seeds))
    how = (
        f"One model each, seed {named}."
        if len(seeds) == 1
        else f"Mean±sample standard deviation (n − 1) over n = {len(seeds)} seeds ({named})."
    )
    materials = {cell.material.title: cell.material for cell, _ in done}
    sizes = "; ".join(f"{title}: {material.sizes}" for title, material in materials.items())
    drawn = (
        f" {STAND_IN} is rendered and is not CIFAR-10: its numbers do not compare with those."
        if STAND_IN in materials
        else ""
    )
    return (
        "Accuracy in % on test images, measured on this machine, after adversarial training (AT) "
        "and after the classifier alone was fitted again on clean training images, the encoder "
        f"frozen. PGD: {pgd.steps} steps of {fraction_of_255(pgd.step_size * 255)} inside "
        f"{fraction_of_255(pgd.eps * 255)} from a random start, on the model with the classifier "
        f"of the row. Δ: to AT on the same images, with a paired 95% interval over the images; one "
        f"that holds 0 may be chance. {how} {sizes}.{drawn}{_unconverged(done)} "
        f"{_finding(rows)}"
    )


def _unconverged(done: Done) -> str:
    stopped = [
        f"{cell.title} ({name})"
        for cell, result in done
        for name, fit in result.fits.items()
        if fit.gradient > CONVERGED
    ]
    return f" Not converged: {', '.join(stopped)}." if stopped else ""


def _finding(rows: Sequence[Row]) -> str:
    """Return what the fine-tuned rows say, in words that follow from the intervals alone."""
    sentences = []
    for row in rows:
        if row.head != "fine_tuned":
            continue
        difference = row.difference["pgd"]
        if not difference.is_clear:
            said = "no clear change"
        else:
            said = "a clear drop" if difference.value < 0 else "a clear rise"
        sentences.append(f"{row.data}, {row.model}: {said} under PGD")
    return f"{'; '.join(sentences)}."


def study_record(done: Done, seconds: dict[str, float]) -> dict[str, Any]:
    """Return cells and rows as study.json holds them.

    Args:
        done: cells and their results.
        seconds: how long each cell took, by key.
    """
    return {
        "materials": {
            cell.material.title: {
                "training_images": len(cell.material.train.images),
                "test_images": len(cell.material.test.images),
                "classes": cell.material.classes,
                **cell.material.identity,
                "source": cell.material.source,
            }
            for cell, _ in done
        },
        "cells": [
            {
                "title": cell.title,
                "key": cell.key,
                "settings": cell.settings(),
                "seconds": seconds[cell.key],
                "fits": {name: fit.model_dump() for name, fit in result.fits.items()},
                "test_images": len(cell.material.test.images),
                "recognised": {
                    head: {column: int(result.hits(head, column).sum()) for column in _COLUMNS}
                    for head in HEADS
                },
            }
            for cell, result in done
        ],
        "rows": [asdict(row) for row in rows_of(done)],
    }
