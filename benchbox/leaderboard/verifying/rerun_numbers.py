"""Sets every number of an entry beside the one that a rerun gives.

How far two numbers may differ, in points of percent, follows from the tolerance that a board
declares for mAP. Rank-k moves more than mAP where the same queries change: a query counts wholly
or not at all. Between the trainings of the Sidewalk's models a query's hits scatter 2.1 (Rank-1)
to 2.9 (Rank-10) times as much as its AP, so that ranks have three times the tolerance, and at
least one query's worth. The worst tenth of the identities is a mean over a tenth as many: √10
times. Counts have to be the same.
"""

import math
from collections.abc import Iterator, Mapping
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray

from benchbox.leaderboard.board_protocol import Protocol
from benchbox.leaderboard.entry.aggregate import identities_of, interval_of, worst_cases
from benchbox.leaderboard.entry.numbers import IdentityScores, Interval
from benchbox.leaderboard.entry.record import Entry
from benchbox.leaderboard.verifying.recomputed import Recomputed, Scores
from benchbox.results.conditions import Condition

_RANKS = 3.0
"""How many times as far as mAP a rank may move."""


def compared(
    entry: Entry, protocol: Protocol, scores: Scores, matches: Mapping[str, int]
) -> list[Recomputed]:
    """Return every number of an entry that queries determine beside the recomputed one.

    Means, deviations and intervals over seeds are left out: they follow from the seeds' numbers,
    which `benchbox.leaderboard.verifying.plausibility` checks.

    Args:
        entry: what was entered.
        protocol: the board's, in the entry's version.
        scores: what came out.
        matches: query → how many valid matches it has, in the dataset's order.
    """
    first = next(iter(scores.found.values()))
    ap = {
        condition: np.stack([scores.found[condition, seed].ap for seed in protocol.seeds])
        for condition in protocol.conditions
    }
    counted = np.array([matches[query] for query in first.queries])
    identities = identities_of(first.pids, counted, ap, kept=protocol.conditions[:1])
    return [
        *_counts(entry, scores, identities),
        *_measured(entry, protocol, scores, ap),
        *_worst_cases(entry, protocol, ap, first.pids),
        *_spreads(entry, protocol, identities),
    ]


def _counts(entry: Entry, scores: Scores, identities: IdentityScores) -> Iterator[Recomputed]:
    first = next(iter(scores.found.values()))
    found = {
        "queries": len(first.ap),
        "skipped": first.skipped,
        "gallery": scores.gallery,
        "lone": scores.lone,
    }
    for key, count in found.items():
        yield _same(f"counts.{key}", getattr(entry.counts, key), count)
    for key in ("pids", "queries", "matches"):
        pairs = zip_longest(getattr(entry.identities, key), getattr(identities, key), fillvalue=-1)
        for index, (entered, count) in enumerate(pairs):
            yield _same(f"identities.{key}[{index}]", entered, count)


def _measured(
    entry: Entry,
    protocol: Protocol,
    scores: Scores,
    ap: Mapping[Condition, NDArray[np.float64]],
) -> Iterator[Recomputed]:
    tolerance = protocol.rerun_tolerance
    pids = next(iter(scores.found.values())).pids
    for result in entry.results:
        name = _title(result.condition)
        for measured in result.seeds:
            percent = scores.found[result.condition, measured.seed].percent()
            for key, found in percent.items():
                yield Recomputed(
                    what=f"{name} seed {measured.seed}: {key}",
                    entered=getattr(measured, key),
                    found=found,
                    tolerance=tolerance if key == "mAP" else rank_tolerance(protocol, len(pids)),
                )
        again = interval_of(ap[result.condition], pids)
        yield from _ends(name, result.mAP, again, tolerance)


def _worst_cases(
    entry: Entry,
    protocol: Protocol,
    ap: Mapping[Condition, NDArray[np.float64]],
    pids: NDArray[np.int64],
) -> Iterator[Recomputed]:
    tolerance = protocol.rerun_tolerance
    for worst, again in zip(entry.worst_case, worst_cases(protocol, ap, pids), strict=True):
        name = f"worst of all attacks {worst.eps_255:g}/255"
        for entered, found in zip(worst.seeds, again.seeds, strict=True):
            yield Recomputed(
                what=f"{name} seed {entered.seed}: mAP",
                entered=entered.mAP,
                found=found.mAP,
                tolerance=tolerance,
            )
        yield from _ends(name, worst.mAP, again.mAP, tolerance)


def _spreads(entry: Entry, protocol: Protocol, identities: IdentityScores) -> Iterator[Recomputed]:
    tolerance = protocol.rerun_tolerance
    pairs = zip(entry.results, entry.identities.spreads, identities.spreads, strict=True)
    for result, entered, found in pairs:
        name = f"{_title(result.condition)} identities"
        numbers = {
            "mean": (entered.mean, found.mean, tolerance),
            "std": (entered.std or 0.0, found.std or 0.0, tolerance),
            "worst_decile": (
                entered.worst_decile,
                found.worst_decile,
                math.sqrt(10) * tolerance,
            ),
            # Of the coefficient alone a small mean would make anything: times the mean it is
            # half the mean difference of two identities, in points.
            "gini x mean": (
                (entered.gini or 0.0) * entered.mean,
                (found.gini or 0.0) * found.mean,
                tolerance,
            ),
        }
        for key, (before, after, reach) in numbers.items():
            yield Recomputed(what=f"{name}: {key}", entered=before, found=after, tolerance=reach)


def rank_tolerance(protocol: Protocol, queries: int) -> float:
    """Return how many points Rank-k may differ by."""
    return max(_RANKS * protocol.rerun_tolerance, 100 / queries + 1e-6)


def _ends(name: str, entered: Interval, found: Interval, tolerance: float) -> Iterator[Recomputed]:
    for key in ("low", "high"):
        yield Recomputed(
            what=f"{name}: mAP.{key}",
            entered=getattr(entered, key),
            found=getattr(found, key),
            tolerance=tolerance,
        )


def _same(what: str, entered: int, found: int) -> Recomputed:
    return Recomputed(what=what, entered=entered, found=found, tolerance=0.0)


def _title(condition: Condition) -> str:
    return "clean" if condition.is_clean else f"{condition.attack} {condition.budget}"
