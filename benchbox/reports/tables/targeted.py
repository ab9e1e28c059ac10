"""The table of targeted attacks: whom queries retrieve that are made to retrieve somebody."""

import pandas as pd

from benchbox.reports.tables.wording import CONVENTION_TITLES, MISSING, mean_and_std, split_sizes
from benchbox.results.measurements import Pairs, Score, measurements
from benchbox.results.record import Names
from benchbox.tables.table import Header, Table, TableCell

_MEANS = (
    "Success / mAP towards, in %: how often the identity chosen for a query ranks first, and the "
    "mAP of the chosen identities as if they were the queries' own. High is bad, and neither is "
    "the mAP of other tables. Threat model targeted: the attacker has the model, the query and the "
    "gallery, and chose for each query the identity whose nearest image is farthest. Not attacked: "
    "the clean queries, which come near those identities by chance alone."
)
_TITLES = {"same": "Impersonation", "transfer": "Impersonation, on unseen domains"}


def targeted_table(targeted: pd.DataFrame, names: Names, *, pairs: Pairs) -> Table | None:
    """Return success and mAP towards the chosen identities; None where nothing was measured.

    Args:
        targeted: targeted.csv.
        names: titles, order and what was planned of it.
        pairs: ``same`` for models tested where they were trained, ``transfer`` for the others.
    """
    attacked = targeted.assign(mAP=targeted["mAP_towards"], rank1=targeted["success"])
    cells = measurements(attacked, names, pairs=pairs)
    clean = {
        str(row["cell"]): Score(row["clean_mAP_towards"], row["clean_success"], str(row["cell"]))
        for row in targeted.to_dict("records")
    }
    shown = [condition for condition in cells.conditions if not condition.is_clean]
    titles = ["Model", "Dataset", "Defense", "Not attacked", *map(cells.condition_title, shown)]
    rows = []
    for group in cells.groups:
        for defense in cells.rows_of(group):
            scores = [list(cells.at(group, defense, condition).values()) for condition in shown]
            # A model's clean queries are the same under each of its attacks.
            first = next((found for found in scores if found), [])
            texts = [*cells.group_titles(group), names.title("defenses", defense)]
            texts.append(_text([clean[score.cell] for score in first]))
            rows.append((*texts, *map(_text, scores)))
    if not cells.scores:
        return None
    form = str(targeted["ap_convention"].iloc[0])
    convention = CONVENTION_TITLES.get(form, form)
    sizes = split_sizes(targeted, cells)
    return Table(
        _TITLES[pairs],
        f"{_MEANS} Average precision in {convention}. {sizes} {MISSING}: not measured.",
        (tuple(Header(title) for title in titles),),
        tuple(tuple(TableCell(text) for text in row) for row in rows),
        group_columns=2,
        label_columns=3,
        on_page=_MEANS,
    )


def _text(scores: list[Score]) -> str:
    if not scores:
        return MISSING
    parts = ([score.rank1 for score in scores], [score.mAP for score in scores])
    return "/".join(mean_and_std(values) for values in parts)
