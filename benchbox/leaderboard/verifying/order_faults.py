"""Whether an attack, or more of it, helps the defender."""

import math
from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise

from attacks import WorstCase
from benchbox.leaderboard.entry.numbers import Result
from benchbox.leaderboard.entry.record import Entry
from benchbox.leaderboard.verifying.interval_bounds import largest_error
from benchbox.results.per_query import ROUNDING

_NOISE = 1.0
"""Points of mAP that no pair of numbers is asked to differ by less than."""


def order_faults(entry: Entry) -> Iterator[str]:
    """Yield where an attack, or more of it, helps the defender beyond noise.

    A suspect entry says so already: its numbers are measured, and why they are wrong is its
    failed check's to say.
    """
    if entry.status == "suspect":
        return
    clean = entry.clean
    attacked = [result for result in entry.results if not result.is_clean]
    for attack, results in groupby(attacked, key=lambda result: result.attack):
        for weaker, stronger in pairwise([clean, *results]):
            gain = stronger.mAP.mean - weaker.mAP.mean
            if gain > _noise(weaker, stronger, entry.identities.queries):
                yield (
                    f"results: {attack} at {stronger.eps_255:g}/255 leaves {gain:.2f} mAP more "
                    f"than {'no attack' if weaker.is_clean else f'{weaker.eps_255:g}/255'}, "
                    "beyond noise"
                )


def pooled_faults(entry: Entry) -> Iterator[str]:
    """Yield where an attack leaves less than the worst case, in which it is pooled."""
    for worst in (result for result in entry.results if result.attack == WorstCase.name):
        for other in entry.results:
            if other.eps_255 != worst.eps_255:
                continue
            for mine, theirs in zip(worst.seeds, other.seeds, strict=True):
                for key in ("mAP", "rank1", "rank5", "rank10"):
                    if getattr(mine, key) > getattr(theirs, key) + ROUNDING:
                        yield (
                            f"results: {worst.attack} at {worst.eps_255:g}/255, seed {mine.seed}: "
                            f"{key} {getattr(mine, key):.4f}, above {other.attack} alone "
                            f"({getattr(theirs, key):.4f})"
                        )


def _noise(a: Result, b: Result, queries: Sequence[int]) -> float:
    """Return how far two results may differ by chance: of independent queries, so rather wide."""
    widths = [
        min((r.mAP.high - r.mAP.low) / 2, 2 * largest_error(r.mAP.mean, queries)) for r in (a, b)
    ]
    return max(_NOISE, math.hypot(*widths))
