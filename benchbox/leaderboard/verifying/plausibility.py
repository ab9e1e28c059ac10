"""Whether an entry's numbers can be what they say: with each other, its protocol and its data."""

import math
import operator
import statistics
from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise

import numpy as np

from benchbox.leaderboard.board_protocol import Protocol
from benchbox.leaderboard.entry.aggregate import deviation, spread_of
from benchbox.leaderboard.entry.numbers import Interval, Mean, Result
from benchbox.leaderboard.entry.record import Entry
from benchbox.leaderboard.verifying.allowed_outcomes import check_faults
from benchbox.leaderboard.verifying.interval_bounds import (
    interval_faults,
    largest_error,
    recomputed_faults,
)
from benchbox.results.per_query import ROUNDING
from benchbox.statistics.ap_bounds import map_bounds
from benchbox.statistics.interval_over_seeds import interval_over_seeds

_NOISE = 1.0
"""Points of mAP that no pair of numbers is asked to differ by less than."""


def implausibilities(entry: Entry, protocol: Protocol) -> list[str]:
    """Return ``key: what is wrong`` for each fault in an entry, nothing for a plausible one."""
    shape = [*_protocol(entry, protocol), *_seeds(entry, protocol)]
    if shape:
        # Numbers at the wrong place need not be compared.
        return shape
    return [
        *_means(entry),
        *_ranks(entry, protocol),
        *_counts(entry, protocol),
        *_worst_case(entry),
        *_identities(entry),
        *_intervals(entry),
        *_orders(entry),
        *check_faults(entry, protocol),
    ]


def _protocol(entry: Entry, protocol: Protocol) -> Iterator[str]:
    if (entry.board, entry.version) != (protocol.board, protocol.version):
        yield f"board: of protocol {protocol.board} {protocol.version}, not of this one"
    for key, dataset in (("train", entry.train), ("test", entry.test)):
        wanted = protocol.dataset(dataset.name)
        if wanted is None:
            yield f"{key}.name: {dataset.name} is not on this board"
            continue
        if wanted.digest is not None and dataset.digest != wanted.digest:
            yield f"{key}.digest: {dataset.digest[:12]}…, the protocol has {wanted.digest[:12]}…"
        if dataset.size != wanted.size:
            yield f"{key}.size: {dataset.size}, the protocol has {wanted.size}"
    if entry.train.name == entry.test.name and entry.train != entry.test:
        yield "test: not the dataset of the same name that was trained on"
    if protocol.backbones and entry.backbone not in protocol.backbones:
        yield f"backbone: {entry.backbone}, expected {' or '.join(protocol.backbones)}"
    conditions = [result.condition for result in entry.results]
    if conditions != list(protocol.conditions):
        yield "results: not clean and every attack at every budget of the protocol, in its order"
    budgets = tuple(worst.eps_255 for worst in entry.worst_case)
    if budgets != protocol.budgets_255:
        yield "worst_case: not one for each budget of the protocol"
    spreads = [(spread.attack, spread.eps_255) for spread in entry.identities.spreads]
    if spreads != [(c.attack, c.eps_255) for c in protocol.conditions]:
        yield "identities.spreads: not one for each result"
    if entry.provenance.finished < entry.provenance.started:
        yield "provenance.finished: before it started"
    if entry.provenance.finished.date().toordinal() > entry.submitted.toordinal() + 1:
        yield "submitted: before the run had finished"


def _seeds(entry: Entry, protocol: Protocol) -> Iterator[str]:
    lists = {
        "weights": [weights.seed for weights in entry.weights],
        **{f"results[{i}].seeds": [m.seed for m in r.seeds] for i, r in enumerate(entry.results)},
        **{
            f"worst_case[{i}].seeds": [s.seed for s in worst.seeds]
            for i, worst in enumerate(entry.worst_case)
        },
    }
    for key, seeds in lists.items():
        if tuple(seeds) != protocol.seeds:
            yield f"{key}: seeds {seeds}, the protocol has {list(protocol.seeds)}"
    digests = [weights.sha256 for weights in entry.weights]
    if len(set(digests)) != len(digests):
        yield "weights: two seeds have the same weights"
    cells = [measured.cell for result in entry.results for measured in result.seeds]
    if len(set(cells)) != len(cells):
        yield "results: a cell stands there twice"


def _means(entry: Entry) -> Iterator[str]:
    for index, result in enumerate(entry.results):
        for key in ("mAP", "rank1", "rank5", "rank10"):
            values = [getattr(measured, key) for measured in result.seeds]
            yield from _mean(f"results[{index}].{key}", getattr(result, key), values)
        yield from _interval(f"results[{index}].mAP", result.mAP, [m.mAP for m in result.seeds])
    for index, worst in enumerate(entry.worst_case):
        by_seed = [of_seed.mAP for of_seed in worst.seeds]
        yield from _mean(f"worst_case[{index}].mAP", worst.mAP, by_seed)
        yield from _interval(f"worst_case[{index}].mAP", worst.mAP, by_seed)


def _mean(key: str, given: Mean, values: Sequence[float]) -> Iterator[str]:
    mean, std = statistics.fmean(values), deviation(values)
    if not _same(given.mean, mean):
        yield f"{key}.mean: {given.mean:.4f}, its seeds give {mean:.4f}"
    if not _same(given.std, std):
        yield f"{key}.std: {given.std}, its seeds give {std}"


def _interval(key: str, given: Interval, values: Sequence[float]) -> Iterator[str]:
    if not given.low - ROUNDING <= given.mean <= given.high + ROUNDING:
        yield f"{key}: the interval {given.low:.4f} to {given.high:.4f} leaves out its mean"
    ends = interval_over_seeds(values) or (None, None)
    if not all(map(_same, (given.seeds_low, given.seeds_high), ends)):
        yield (
            f"{key}: the interval over seeds {given.seeds_low} to {given.seeds_high}, its seeds "
            f"give {ends[0]} to {ends[1]}"
        )


def _ranks(entry: Entry, protocol: Protocol) -> Iterator[str]:
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


def _counts(entry: Entry, protocol: Protocol) -> Iterator[str]:
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


def _worst_case(entry: Entry) -> Iterator[str]:
    for index, worst in enumerate(entry.worst_case):
        same = [r for r in entry.results if not r.is_clean and r.eps_255 == worst.eps_255]
        for place, of_seed in enumerate(worst.seeds):
            for result in same:
                if of_seed.mAP > result.seeds[place].mAP + ROUNDING:
                    yield (
                        f"worst_case[{index}]: seed {of_seed.seed}: {of_seed.mAP:.4f}, above "
                        f"{result.attack} alone ({result.seeds[place].mAP:.4f})"
                    )
        if len(same) == 1 and not _same(worst.mAP.mean, same[0].mAP.mean):
            yield f"worst_case[{index}]: not that of the one attack there is"


def _identities(entry: Entry) -> Iterator[str]:
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
    for index, (spread, result) in enumerate(zip(identities.spreads, entry.results, strict=True)):
        key = f"identities.spreads[{index}]"
        if (spread.ap is not None) != (index < 2):
            yield f"{key}.ap: clean and the first attack have it, and no other"
        if spread.worst_decile > spread.mean + ROUNDING:
            yield f"{key}.worst_decile: above the mean"
        if spread.ap is None:
            continue
        if len(spread.ap) != len(identities.pids):
            yield f"{key}.ap: not one for each identity"
            continue
        again = spread_of(result.condition, spread.ap, keep=False)
        for name in ("mean", "std", "worst_decile", "gini"):
            given, computed = getattr(spread, name), getattr(again, name)
            if not _same(given, computed):
                yield f"{key}.{name}: {given}, its identities give {computed}"
        weighted = sum(map(operator.mul, spread.ap, identities.queries)) / sum(identities.queries)
        if not _same(100 * weighted, result.mAP.mean):
            yield (
                f"{key}.ap: its identities give {100 * weighted:.4f} mAP, results have "
                f"{result.mAP.mean:.4f}"
            )


def _intervals(entry: Entry) -> Iterator[str]:
    identities = entry.identities
    if len(identities.queries) != len(identities.pids):
        return
    for index, result in enumerate(entry.results):
        yield from interval_faults(f"results[{index}].mAP", result.mAP, identities.queries)
        yield from recomputed_faults(index, result, identities)
    for index, worst in enumerate(entry.worst_case):
        yield from interval_faults(f"worst_case[{index}].mAP", worst.mAP, identities.queries)


def _orders(entry: Entry) -> Iterator[str]:
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


def _noise(a: Result, b: Result, queries: Sequence[int]) -> float:
    """Return how far two results may differ by chance: of independent queries, so rather wide."""
    widths = [
        min((r.mAP.high - r.mAP.low) / 2, 2 * largest_error(r.mAP.mean, queries)) for r in (a, b)
    ]
    return max(_NOISE, math.hypot(*widths))


def _same(a: float | None, b: float | None) -> bool:
    if a is None or b is None:
        return a is b
    return math.isclose(a, b, rel_tol=0, abs_tol=ROUNDING)
