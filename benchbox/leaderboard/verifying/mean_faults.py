"""Whether means, deviations, intervals over seeds and worst cases follow from an entry's seeds."""

import statistics
from collections.abc import Iterator, Sequence

from benchbox.leaderboard.entry.aggregate import deviation
from benchbox.leaderboard.entry.numbers import Interval, Mean
from benchbox.leaderboard.entry.record import Entry
from benchbox.leaderboard.verifying.rounding import agree
from benchbox.results.per_query import ROUNDING
from benchbox.statistics.interval_over_seeds import interval_over_seeds


def mean_faults(entry: Entry) -> Iterator[str]:
    """Yield where a number over seeds is not that of its seeds."""
    for index, result in enumerate(entry.results):
        for key in ("mAP", "rank1", "rank5", "rank10"):
            values = [getattr(measured, key) for measured in result.seeds]
            yield from _mean(f"results[{index}].{key}", getattr(result, key), values)
        yield from _interval(f"results[{index}].mAP", result.mAP, [m.mAP for m in result.seeds])
    for index, worst in enumerate(entry.worst_case):
        by_seed = [of_seed.mAP for of_seed in worst.seeds]
        yield from _mean(f"worst_case[{index}].mAP", worst.mAP, by_seed)
        yield from _interval(f"worst_case[{index}].mAP", worst.mAP, by_seed)


def worst_case_faults(entry: Entry) -> Iterator[str]:
    """Yield where a worst case is above that of one attack alone."""
    for index, worst in enumerate(entry.worst_case):
        same = [r for r in entry.results if not r.is_clean and r.eps_255 == worst.eps_255]
        for place, of_seed in enumerate(worst.seeds):
            for result in same:
                if of_seed.mAP > result.seeds[place].mAP + ROUNDING:
                    yield (
                        f"worst_case[{index}]: seed {of_seed.seed}: {of_seed.mAP:.4f}, above "
                        f"{result.attack} alone ({result.seeds[place].mAP:.4f})"
                    )
        if len(same) == 1 and not agree(worst.mAP.mean, same[0].mAP.mean):
            yield f"worst_case[{index}]: not that of the one attack there is"


def _mean(key: str, given: Mean, values: Sequence[float]) -> Iterator[str]:
    mean, std = statistics.fmean(values), deviation(values)
    if not agree(given.mean, mean):
        yield f"{key}.mean: {given.mean:.4f}, its seeds give {mean:.4f}"
    if not agree(given.std, std):
        yield f"{key}.std: {given.std}, its seeds give {std}"


def _interval(key: str, given: Interval, values: Sequence[float]) -> Iterator[str]:
    if not given.low - ROUNDING <= given.mean <= given.high + ROUNDING:
        yield f"{key}: the interval {given.low:.4f} to {given.high:.4f} leaves out its mean"
    ends = interval_over_seeds(values) or (None, None)
    if not all(map(agree, (given.seeds_low, given.seeds_high), ends)):
        yield (
            f"{key}: the interval over seeds {given.seeds_low} to {given.seeds_high}, its seeds "
            f"give {ends[0]} to {ends[1]}"
        )
