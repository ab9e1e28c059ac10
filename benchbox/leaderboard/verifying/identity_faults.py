"""Whether what an entry says by identity agrees with itself and with its results."""

import operator
from collections.abc import Iterator

from benchbox.leaderboard.entry.aggregate import spread_of
from benchbox.leaderboard.entry.record import Entry
from benchbox.leaderboard.verifying.interval_bounds import interval_faults, recomputed_faults
from benchbox.leaderboard.verifying.rounding import agree
from benchbox.results.per_query import ROUNDING


def identity_faults(entry: Entry) -> Iterator[str]:
    """Yield where queries, matches or AP of the identities do not add up."""
    identities = entry.identities
    if list(identities.pids) != sorted(set(identities.pids)):
        yield "identities.pids: not ascending"
    if not len(identities.queries) == len(identities.matches) == len(identities.pids):
        yield "identities: not one number of queries and of matches for each identity"
        return
    if sum(identities.matches) > entry.counts.gallery:
        yield (
            f"identities.matches: {sum(identities.matches)} in all, in a gallery of "
            f"{entry.counts.gallery}"
        )
    if sum(identities.queries) != entry.counts.queries:
        yield (
            f"identities.queries: {sum(identities.queries)} in all, counts.queries has "
            f"{entry.counts.queries}"
        )
    for index in range(len(identities.spreads)):
        yield from _spread_faults(entry, index)


def bound_faults(entry: Entry) -> Iterator[str]:
    """Yield where an interval over identities is wider than they allow, or another."""
    identities = entry.identities
    if len(identities.queries) != len(identities.pids):
        return
    for index, result in enumerate(entry.results):
        yield from interval_faults(f"results[{index}].mAP", result.mAP, identities.queries)
        yield from recomputed_faults(index, result, identities)
    for index, worst in enumerate(entry.worst_case):
        yield from interval_faults(f"worst_case[{index}].mAP", worst.mAP, identities.queries)


def _spread_faults(entry: Entry, index: int) -> Iterator[str]:
    """Yield where the spread of one condition is not that of the AP kept, if it is kept."""
    identities, result = entry.identities, entry.results[index]
    spread, key = identities.spreads[index], f"identities.spreads[{index}]"
    if (spread.ap is not None) != (index < 2):
        yield f"{key}.ap: clean and the first attack have it, and no other"
    if spread.worst_decile > spread.mean + ROUNDING:
        yield f"{key}.worst_decile: above the mean"
    if spread.ap is None:
        return
    if len(spread.ap) != len(identities.pids):
        yield f"{key}.ap: not one for each identity"
        return
    again = spread_of(result.condition, spread.ap, keep=False)
    for name in ("mean", "std", "worst_decile", "gini"):
        given, computed = getattr(spread, name), getattr(again, name)
        if not agree(given, computed):
            yield f"{key}.{name}: {given}, its identities give {computed}"
    weighted = sum(map(operator.mul, spread.ap, identities.queries)) / sum(identities.queries)
    if not agree(100 * weighted, result.mAP.mean):
        yield (
            f"{key}.ap: its identities give {100 * weighted:.4f} mAP, results have "
            f"{result.mAP.mean:.4f}"
        )
