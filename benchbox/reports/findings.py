"""What a run found, in sentences made from its numbers: a report begins with them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import get_args

import pandas as pd

from benchbox.reports.block_in_words import BlockInWords
from benchbox.reports.cautions import suspicious
from benchbox.reports.reranked_findings import reranked_sentences
from benchbox.reports.standings import Row, by_cell, hardest, standings
from benchbox.reports.tables.black_box import STRONGER, replayed, source_title
from benchbox.results.conditions import CLEAN, CORRUPTED, Condition
from benchbox.results.measurements import Group, Measurements, Pairs, measurements
from benchbox.results.run_folder import RunFolder


@dataclass(frozen=True)
class Finding:
    """Some sentences about one block of the tables, or about the whole run.

    Attributes:
        about: the block's title, or what the sentences are about.
        says: the sentences.
    """

    about: str
    says: str


def findings(run: RunFolder, *, collapsed: Collection[Row] = ()) -> list[Finding]:
    """Return what a run found: who keeps most, by how much, what is lost, what looks suspicious.

    Each block is read under the attack that leaves least at the smallest budget. Every sentence
    names its numbers; one that a run has no numbers for is left out.

    Args:
        run: the run's folder.
        collapsed: rows whose clean mAP is near chance. They lead nothing, since chance loses
            nothing to an attack.
    """
    per_id = by_cell(run.per_id)
    found: list[Finding] = []
    for pairs in ("same", "transfer"):
        found += _of_pairs(run, per_id, pairs, collapsed)
        again = list(reranked_sentences(run, pairs=pairs, collapsed=collapsed))
        for title in dict.fromkeys(title for title, _ in again):
            says = " ".join(sentence for about, sentence in again if about == title)
            found.append(Finding(f"{title}, re-ranked", says))
    found += _black_box(run, collapsed) + _corrupted(run, collapsed)
    return [*found, *_suspicious(run)]


def _of_pairs(
    run: RunFolder, per_id: Mapping[str, pd.DataFrame], pairs: Pairs, collapsed: Collection[Row]
) -> list[Finding]:
    cells = measurements(run.results, run.record.names, pairs=pairs)
    condition = hardest(cells) or CLEAN
    found = []
    for group in cells.groups:
        rows = standings(cells, group, condition, without=collapsed)
        block = BlockInWords(cells, group, condition, rows)
        sentences = block.sentences(per_id) if rows else []
        sentences += _collapsed(cells, group, collapsed)
        if sentences:
            found.append(Finding(cells.group_title(group), " ".join(sentences)))
    return found


def _collapsed(cells: Measurements, group: Group, collapsed: Collection[Row]) -> list[str]:
    own = [defense for defense in cells.rows_of(group) if (group, defense) in collapsed]
    if not own:
        return []
    names = ", ".join(cells.names.title("defenses", defense) for defense in own)
    verb = "is" if len(own) == 1 else "are"
    return [f"{names} {verb} near chance on clean queries, and so not compared."]


def _black_box(run: RunFolder, collapsed: Collection[Row]) -> list[Finding]:
    """Return what other models' queries do to the row that keeps most under its own."""
    if run.black_box is None or run.black_box.empty:
        return []
    names = run.record.names
    matrix = replayed(run.black_box, run.results, names)
    found = []
    for cells in matrix.white_box:
        condition = hardest(cells)
        if condition is None:
            continue
        for group in cells.groups:
            for best in standings(cells, group, condition, without=collapsed)[:1]:
                gains = {
                    source: gain
                    for source in matrix.sources
                    if (gain := matrix.gain(source, group, best.defense, condition)) is not None
                }
                if gains:
                    source = max(gains, key=lambda one: gains[one])
                    says = (
                        f"{cells.condition_title(condition)} made on "
                        f"{source_title(source, group, names)} leaves "
                        f"{names.title('defenses', best.defense)} {_beside_own(gains[source])}."
                    )
                    found.append(Finding(f"{cells.group_title(group)}, black box", says))
    return found


def _corrupted(run: RunFolder, collapsed: Collection[Row]) -> list[Finding]:
    """Return what each model keeps where queries and gallery are corrupted, most first."""
    names = run.record.names
    found = []
    for pairs in get_args(Pairs):
        cells = measurements(run.results, names, pairs=pairs, under="corruption")
        both = Condition(CORRUPTED[-1])
        for group in cells.groups:
            rows = standings(cells, group, both, without=collapsed)
            kept = ", ".join(f"{names.title('defenses', r.defense)} {r.mAP:.1f}" for r in rows)
            if rows:
                says = f"Where chance corrupts queries and gallery, mAP is, most first: {kept}."
                found.append(Finding(f"{cells.group_title(group)}, corrupted", says))
    return found


def _beside_own(gain: float) -> str:
    """Return how the strongest queries of another model compare with a model's own."""
    if gain > STRONGER:
        return f"{gain:.1f} points less mAP than its own gradient: a sign that this is masked"
    if gain < -STRONGER:
        return f"{-gain:.1f} points more mAP than its own gradient, and no other source less"
    return "about as much mAP as its own gradient"


def _suspicious(run: RunFolder) -> list[Finding]:
    """Return how many places look as if a gradient were masked."""
    if run.results["attack"].isin([CLEAN.attack, *CORRUPTED]).all():
        return []
    count = len(suspicious(run))
    if count:
        where = "place" if count == 1 else "places"
        return [
            Finding(
                "Suspicious",
                f"In {count} {where} an attack that should hurt more hurts less, as where a "
                "gradient is masked; they are named below.",
            )
        ]
    looked = "no larger budget leaves more mAP than a smaller one"
    if run.black_box is not None and not run.black_box.empty:
        looked += ", and no other model’s queries hurt more than a model’s own gradient"
    return [Finding("Suspicious", f"Nothing: {looked}.")]
