"""The figure of a block: what the literature's attack leaves beside the worst case."""

from attacks import WorstCase
from benchbox.leaderboard.site.boards import Block
from benchbox.leaderboard.site.embedded import Embedded, embedded
from benchbox.leaderboard.site.words import Attacks, condition_title, pair_title
from benchbox.reports.drawings.picture import Drawing
from benchbox.reports.figures.worst_case import Fall, Panel, draw_falls

_MOST = 60
"""Entries that a figure shows: more would be too small to read."""


def finding(attacks: Attacks, block: Block) -> Embedded | None:
    """Return what the protocol's first attack and its worst case leave of each ranked entry.

    Args:
        attacks: the registry's, for their titles.
        block: suspect entries are left out, since their numbers may be the attacks' failure.

    Returns:
        None where the protocol has no worst case beside another attack, or no entry is ranked.
    """
    smallest = block.protocol.budgets_255[0]
    both = [c for c in block.protocol.conditions if not c.is_clean and c.eps_255 == smallest]
    usual = next((c for c in both if c.attack != WorstCase.name), None)
    worst = next((c for c in both if c.attack == WorstCase.name), None)
    if usual is None or worst is None:
        return None
    ranked = [row for row in block.rows if row.rank is not None]
    falls = []
    for row in ranked[:_MOST]:
        before, after = row.entry.result(usual), row.entry.result(worst)
        if before is not None and after is not None:
            falls.append(Fall(row.entry.title, before.mAP.mean, after.mAP.mean))
    if not falls:
        return None
    titles = [condition_title(attacks, condition) for condition in (usual, worst)]
    shown = f"{len(falls)}" if len(falls) == len(ranked) else f"{len(falls)} of {len(ranked)}"
    panel = Panel(f"{pair_title(block.group)} · {block.group.backbone}", falls)
    return embedded(
        Drawing(
            "worst_case",
            "What the literature’s attack leaves out",
            lambda: (
                draw_falls([panel], *titles),
                f"mAP of the {shown} ranked under {titles[0]} and under the worst case, "
                "which knows the clean gallery; at the right the place by the one and by the "
                "other.",
            ),
        )
    )
