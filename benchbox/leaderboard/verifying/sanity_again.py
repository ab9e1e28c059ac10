"""An entry's sanity checks once more, from its weights.

All but the transferred attack, which takes the other models of the entry's run. An outcome has to
be the same; the mAP behind it is that of a hundred queries, so it may differ by more than that of
all: a mean over a quarter of the queries scatters twice as far.
"""

import math
from collections.abc import Sequence

from benchbox.data.protocol import ReidDataset
from benchbox.files.progress import Progress
from benchbox.leaderboard.board_protocol import Protocol
from benchbox.leaderboard.entry.record import Entry
from benchbox.leaderboard.sanity.attacked_subject import AttackedSubject
from benchbox.leaderboard.sanity.checks import CHECKS, run_checks
from benchbox.leaderboard.sanity.examined_rows import examined_rows
from benchbox.leaderboard.sanity.result import CheckResult
from benchbox.leaderboard.sanity.subject import subject_of
from benchbox.leaderboard.verifying.recompute import EntryPlan
from benchbox.leaderboard.verifying.recomputed import Recomputed
from benchbox.results.networks import Network
from benchbox.runs.registry import Registry
from benchbox.runs.stages import GivenStage
from benchbox.runs.workplace import Workplace

NOT_REPEATED = ("transfer",)
"""Checks that weights alone do not allow."""


def recheck(
    entry: Entry,
    protocol: Protocol,
    registry: Registry,
    plan: EntryPlan,
    place: Workplace,
    progress: Progress,
) -> list[CheckResult]:
    """Return what the checks that an entry says were made say now.

    Args:
        entry: what was entered.
        protocol: the board's, in the entry's version.
        registry: holds the board's attacks.
        plan: how the entry's cells are made; see `plan_of`.
        place: where they were just recomputed.
        progress: called before each check.
    """
    only = {check.name for check in entry.checks if check.outcome != "not run"} & set(CHECKS)
    only -= set(NOT_REPEATED)
    if not only:
        return []
    clean = next(cell.rank.clean for cell in plan.cells if cell.seed == protocol.seeds[0])
    given = clean.network.given if isinstance(clean.network, GivenStage) else None
    subject = subject_of(
        Network(clean.network.model(place), clean.data.image_size, clean.data.interpolation, given),
        plan.guard,
        features=clean.features(place),
        data=place.dataset(entry.test.name),
        protocol=protocol,
        registry=registry,
        device=place.device,
    )
    return run_checks(AttackedSubject(subject, sources={}), only=only, progress=progress)


def compared_checks(
    entry: Entry, protocol: Protocol, found: Sequence[CheckResult], data: ReidDataset
) -> tuple[list[Recomputed], list[str]]:
    """Return the numbers behind the checks beside the new ones, and what outcomes differ.

    Args:
        entry: what was entered.
        protocol: the board's, in the entry's version.
        found: see `recheck`.
        data: the dataset whose queries were attacked.
    """
    queries = len(data.query)
    tolerance = protocol.rerun_tolerance * math.sqrt(queries / len(examined_rows(queries)))
    entered = {check.name: check for check in entry.checks}
    numbers, differ = [], []
    for again in found:
        before = entered[again.name]
        if again.outcome != before.outcome:
            differ.append(
                f"check {again.name}: entered {before.outcome!r} ({before.says}) recomputed "
                f"{again.outcome!r} ({again.says})"
            )
        numbers += [
            Recomputed(
                what=f"check {again.name}: {key}",
                # What an entry leaves out agrees with nothing.
                entered=before.numbers.get(key, math.nan),
                found=value,
                tolerance=tolerance,
            )
            for key, value in again.numbers.items()
            if key.startswith("map")
        ]
    return numbers, differ
