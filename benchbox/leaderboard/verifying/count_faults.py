"""Whether ranks and counts of an entry can be those of its dataset."""

from collections.abc import Iterator

import numpy as np

from benchbox.leaderboard.board_protocol import Protocol
from benchbox.leaderboard.entry.record import Entry
from benchbox.results.per_query import ROUNDING
from benchbox.statistics.ap_bounds import map_bounds


def rank_faults(entry: Entry, protocol: Protocol) -> Iterator[str]:
    """Yield where ranks do not rise, count no whole queries, or do not allow the mAP."""
    queries, matches = (np.array(getattr(entry.identities, k)) for k in ("queries", "matches"))
    counted = len(queries) == len(matches) and queries.sum() == entry.counts.queries
    for index, result in enumerate(entry.results):
        for measured in result.seeds:
            key = f"results[{index}] of seed {measured.seed}"
            if not measured.rank1 <= measured.rank5 <= measured.rank10:
                yield f"{key}: rank1 to rank10 do not rise"
                continue
            at = {}
            for name in ("rank1", "rank5", "rank10"):
                hits = getattr(measured, name) / 100 * entry.counts.queries
                at[int(name.removeprefix("rank"))] = round(hits)
                if abs(hits - round(hits)) > ROUNDING * entry.counts.queries:
                    yield f"{key}: {name}: no whole number of {entry.counts.queries} queries"
            if counted:
                low, high = map_bounds(at, queries, matches, ap=protocol.ap)
                if not low - ROUNDING <= measured.mAP <= high + ROUNDING:
                    yield (
                        f"{key}: mAP: {measured.mAP:.2f}, its ranks allow {low:.2f} to {high:.2f}"
                    )


def count_faults(entry: Entry, protocol: Protocol) -> Iterator[str]:
    """Yield where queries and gallery are not as many as the protocol's dataset has."""
    wanted = protocol.dataset(entry.test.name)
    if wanted is None:
        return
    queries = entry.counts.queries + entry.counts.skipped
    if wanted.queries is not None and queries != wanted.queries:
        yield f"counts.queries: {queries} with those skipped, {wanted.name} has {wanted.queries}"
    if wanted.gallery is not None and entry.counts.gallery != wanted.gallery:
        yield f"counts.gallery: {entry.counts.gallery}, {wanted.name} has {wanted.gallery}"
    if entry.counts.lone > queries:
        yield f"counts.lone: {entry.counts.lone} of {queries} queries"
