"""What re-ranking does to the row that keeps most, in words: does robustness survive it?"""

from collections.abc import Collection, Iterator

from benchbox.reports.standings import Row, hardest, standings
from benchbox.reranking.rankings import title_of
from benchbox.results.measurements import Pairs, measurements
from benchbox.results.run_folder import RunFolder
from benchbox.runs.columns import RANKING


def reranked_sentences(
    run: RunFolder, *, pairs: Pairs, collapsed: Collection[Row] = ()
) -> Iterator[tuple[str, str]]:
    """Yield (a block's title, a sentence) for each ranking beside the plain one.

    Args:
        run: read.
        pairs: which pairs of datasets.
        collapsed: rows whose clean mAP is near chance; they are left out.
    """
    if run.reranked is None:
        return
    plain = measurements(run.results, run.record.names, pairs=pairs)
    condition = hardest(plain)
    if condition is None:
        return
    for ranking, rows in run.reranked.groupby(RANKING, sort=False):
        cells = measurements(rows, run.record.names, pairs=pairs)
        for group in plain.groups:
            before = standings(plain, group, condition, without=collapsed)
            after = standings(cells, group, condition, without=collapsed)
            same = [row for row in after if before and row.defense == before[0].defense]
            if not same:
                continue
            clean = (
                f", and {same[0].clean:.1f} on clean queries ({before[0].clean:.1f})"
                if same[0].clean is not None and before[0].clean is not None
                else ""
            )
            name = plain.names.title("defenses", before[0].defense)
            first = plain.names.title("defenses", after[0].defense)
            most = "" if first == name else f" {first} keeps most there, {after[0].mAP:.1f}."
            under = f"{plain.condition_title(condition)} ({before[0].mAP:.1f} without it)"
            kept = f"{name} keeps {same[0].mAP:.1f} mAP under {under}{clean}.{most}"
            yield plain.group_title(group), f"With {title_of(str(ranking))} {kept}"
