"""Challenges that won: adversarial queries that leave less of an entry than its board's attacks.

They stand in a file beside the entry, ``challenges/<the entry's file name>``, since an entry itself
is sealed. As in RobustBench, what ranks an entry is the best known number (its "external
evaluations"), with the name and the address of who found it.
"""

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from benchbox.errors import BenchboxError
from benchbox.files.atomic import write_text
from benchbox.files.printable import printable
from benchbox.leaderboard.entry.aggregate import deviation
from benchbox.leaderboard.entry.moments import Day
from benchbox.leaderboard.entry.numbers import Interval, Record, WorstSeed
from benchbox.leaderboard.entry.record import Entry
from benchbox.runs.record import Digest
from benchbox.statistics.interval_over_seeds import interval_over_seeds
from benchbox.untrusted.json import as_json, as_record, read_json
from benchbox.untrusted.text import Line, WebAddress

FOLDER = "challenges"
"""Of a board, where the challenges of its entries lie."""


class Challenge(Record):
    """Adversarial queries that left less than was known.

    Attributes:
        by: who found them, as they want to be named.
        address: web address of the queries or of how they were made.
        submitted: the day they were ranked.
        eps_255: the budget they keep, in units of 1/255.
        images: SHA-256 of the queries, over all seeds'.
        seeds: what they leave of each seed's model that they were made for, in percent.
    """

    by: Line
    address: WebAddress
    submitted: Day
    eps_255: float = Field(gt=0, le=255)
    images: Digest
    seeds: tuple[WorstSeed, ...] = Field(min_length=1, max_length=50)


class Challenges(Record):
    """The challenges to one entry, in the order they came.

    Attributes:
        schema_: the version of this record's form.
        entry: the digest of the entry; one that is submitted again has to be challenged again.
        challenges: each lowered the best known number when it came.
    """

    schema_: Literal[1] = Field(default=1, alias="schema")
    entry: Digest
    challenges: tuple[Challenge, ...] = Field(min_length=1, max_length=1_000)


def challenges_file(entry_file: Path) -> Path:
    """Return where the challenges of an entry lie."""
    return entry_file.parent / FOLDER / entry_file.name


def read_challenges(entry_file: Path, entry: Entry) -> tuple[Challenge, ...]:
    """Return the challenges to an entry, none where it has no file of them.

    Raises:
        BenchboxError: the file is malformed, is of another version of the entry, or a challenge in
            it is not of the entry's seeds and first budget.
    """
    path = challenges_file(entry_file)
    if not path.exists() and not path.is_symlink():
        return ()
    where = f"{FOLDER}/{printable(path.name)}"
    if path.parent.is_symlink():
        raise BenchboxError(f"{where}: the folder is a link; expected the folder itself.")
    found = as_record(read_json(path), Challenges, where=where)
    if found.entry != entry.digest:
        raise BenchboxError(
            f"{where}: entry: is of another version of the entry; rank the queries again with "
            "`benchbox leaderboard challenge`, or remove the file."
        )
    known = {worst.seed for worst in entry.worst_case[0].seeds}
    for place, challenge in enumerate(found.challenges):
        seeds = [of.seed for of in challenge.seeds]
        if not set(seeds) <= known or len(set(seeds)) < len(seeds):
            raise BenchboxError(f"{where}: challenges[{place}].seeds: not seeds of the entry.")
        if challenge.eps_255 != entry.worst_case[0].eps_255:
            raise BenchboxError(f"{where}: challenges[{place}].eps_255: not the one that ranks.")
    return found.challenges


def write_challenges(entry_file: Path, entry: Entry, challenges: Sequence[Challenge]) -> Path:
    """Write the challenges to an entry and return their file."""
    path = challenges_file(entry_file)
    path.parent.mkdir(exist_ok=True)
    record = Challenges(schema=1, entry=entry.digest, challenges=tuple(challenges))
    write_text(path, json.dumps(as_json(record), indent=1, ensure_ascii=False) + "\n")
    return path


def best_known_by_seed(entry: Entry, challenges: Sequence[Challenge]) -> dict[int, float]:
    """Return seed → the lowest mAP known at the budget that ranks, in percent."""
    lowest = {worst.seed: worst.mAP for worst in entry.worst_case[0].seeds}
    for challenge in challenges:
        for found in challenge.seeds:
            lowest[found.seed] = min(lowest[found.seed], found.mAP)
    return lowest


def best_known(entry: Entry, challenges: Sequence[Challenge]) -> Interval:
    """Return the number that ranks an entry: its worst case, or what challenges left of it.

    A challenge tells no query's AP, so the interval over identities is the worst case's, moved by
    as much as the mean fell.
    """
    worst = entry.worst_case[0].mAP
    if not challenges:
        return worst
    by_seed = list(best_known_by_seed(entry, challenges).values())
    mean = statistics.fmean(by_seed)
    fallen = worst.mean - mean
    seeds_low, seeds_high = interval_over_seeds(by_seed) or (None, None)
    return Interval(
        mean=mean,
        std=deviation(by_seed),
        low=max(0.0, worst.low - fallen),
        high=max(0.0, worst.high - fallen),
        seeds_low=seeds_low,
        seeds_high=seeds_high,
    )
