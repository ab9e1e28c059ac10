"""The table of real images: what 8 bits and JPEG leave of each attack."""

from collections.abc import Mapping, Sequence

import pandas as pd

from benchbox.evaluation.real_images import QUALITY
from benchbox.reports.tables.wording import MISSING, mean_and_std, split_sizes
from benchbox.results.measurements import Measurements, Pairs, Score, measurements
from benchbox.results.record import Names
from benchbox.runs.record import CellRecord
from benchbox.tables.table import Header, Table, TableCell

_MEANS = (
    "mAP in % of each attack's own adversarial queries as the attack found them, rounded to 8 bits "
    "a channel, and saved as JPEG of quality {quality} and opened again (colours at half the "
    "resolution). Rounding does not break a perturbation that is an image; what a JPEG gives back "
    "to a defense it gives against attacks that do not expect one, which is no robustness{left}. "
    "The worst case stands here without what it is pooled with."
)
_LEFT = (
    ": an attack through the JPEG expects it, and under the JPEG its column shows how much of that "
    "is left"
)
_TITLES = {"same": "Attacks as images", "transfer": "Attacks as images, on unseen domains"}


def real_images(
    results: pd.DataFrame,
    cells_of_run: Mapping[str, CellRecord],
    names: Names,
    *,
    pairs: Pairs,
    quality: int = QUALITY,
) -> Table | None:
    """Return mAP after 8 bits and after JPEG; None where a run kept no adversarial queries.

    Args:
        results: results.csv, as :func:`benchbox.results.run_folder.read_results` returns it.
        cells_of_run: cell → what run.json has of it.
        names: titles, order and plan.
        pairs: ``same`` for models tested where they were trained, ``transfer`` for the others.
        quality: of the run's JPEG.
    """
    columns = {"none": "as found", "eight_bit": "8 bits", "jpeg": f"JPEG {quality}"}
    cells = measurements(results, names, pairs=pairs)
    kept = {cell: record.channels for cell, record in cells_of_run.items() if record.channels}
    # Of a gallery that is attacked only a sample is kept.
    threats = names.threats
    attacked = [condition for condition in cells.conditions if not condition.is_clean]
    shown = [condition for condition in attacked if threats.get(condition.attack) != "gallery"]
    top = [Header(text) for text in ("Model", "Dataset", "Defense")]
    below = [Header("") for _ in top]
    for condition in shown:
        top.append(Header(cells.condition_title(condition), columns=len(columns)))
        below += [Header(text) for text in columns.values()]
    rows = []
    for group in cells.groups:
        for defense in cells.rows_of(group):
            texts = [*cells.group_titles(group), names.title("defenses", defense)]
            for condition in shown:
                scores = list(cells.at(group, defense, condition).values())
                texts += [_text(scores, kept, name) for name in columns]
            if any(text != MISSING for text in texts[3:]):
                rows.append(tuple(TableCell(text) for text in texts))
    if not rows:
        return None
    expected = any(condition.attack in names.through for condition in shown)
    means = _MEANS.format(quality=quality, left=_LEFT if expected else "")
    return Table(
        _TITLES[pairs],
        f"{means} {_caption(results, cells)}",
        (tuple(top), tuple(below)),
        tuple(rows),
        group_columns=2,
        label_columns=3,
        on_page=means,
    )


def _text(scores: Sequence[Score], kept: Mapping[str, Mapping[str, float]], name: str) -> str:
    values = [kept[score.cell][name] for score in scores if name in kept.get(score.cell, {})]
    return mean_and_std(values) if values else MISSING


def _caption(results: pd.DataFrame, cells: Measurements) -> str:
    seeds = ", ".join(map(str, cells.seeds))
    how = (
        f"One run per cell, seed {seeds}."
        if len(cells.seeds) == 1
        else f"Mean±sample standard deviation (n − 1) over seeds {seeds}."
    )
    sizes = split_sizes(results, cells)
    return f"Measured on this machine. {how} {sizes} {MISSING}: not kept."
