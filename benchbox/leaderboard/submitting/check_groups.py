"""The sanity checks of a submission, group by group."""

from collections.abc import Sequence

import torch

from benchbox.files.progress import Progress, silent
from benchbox.leaderboard.board_protocol import Protocol
from benchbox.leaderboard.sanity.result import CheckResult
from benchbox.leaderboard.sanity.run_subjects import RunSubjects
from benchbox.leaderboard.sanity.without_gradient import NO_SOURCE
from benchbox.leaderboard.submitting.prepare import group_title, refused
from benchbox.results.artefacts import Artefacts
from benchbox.results.measurements import Group
from benchbox.runs.options import resolve_device
from benchbox.runs.registry import Registry


def check_groups(
    artefacts: Artefacts,
    registry: Registry,
    protocol: Protocol,
    groups: Sequence[Group],
    defense: str,
    *,
    device: str = "auto",
    progress: Progress = silent,
) -> dict[Group, list[CheckResult]]:
    """Return what the sanity checks say of a defense, for each group of cells.

    No code of the run is imported: a defense that is not benchbox's own has to be in the registry,
    by its plugin.

    Args:
        artefacts: the run with its store.
        registry: our attacks and defenses, and those of the plugins.
        protocol: the board's.
        groups: of cells, that are submitted.
        defense: its name.
        device: where to attack.
        progress: told before each check.

    Raises:
        BenchboxError: the run lacks its store or datasets, or another model that a required check
            needs; or the defense is unknown here.
    """
    where = torch.device(resolve_device(device))
    subjects = {g: RunSubjects(artefacts, registry, protocol, g, where) for g in groups}
    if "transfer" in protocol.required_checks:
        # Asked before the minutes that the other checks take.
        lacking = [group for group, of in subjects.items() if not of.has_source(defense)]
        if lacking:
            says = [f"{group_title(g)}: {NO_SOURCE}" for g in lacking]
            raise refused(artefacts.run.path, protocol, says)
    found = {}
    for place, (group, of_group) in enumerate(subjects.items()):

        def told(share: float, name: str, *, place: int = place, group: Group = group) -> None:
            what = f"{defense}, {group.train} → {group.test}: check {name}"
            progress((place + share) / len(groups), what)

        found[group] = of_group.examine(defense, progress=told)
    return found
