"""The sanity checks of a submission, group by group."""

from collections.abc import Sequence
from pathlib import Path

import torch

from benchbox.files.progress import Progress
from benchbox.leaderboard.board_protocol import Protocol
from benchbox.leaderboard.sanity.result import CheckResult
from benchbox.leaderboard.sanity.run_subjects import RunSubjects
from benchbox.leaderboard.sanity.without_gradient import NO_SOURCE
from benchbox.leaderboard.submitting.submit import group_title, refused
from benchbox.results.artefacts import Artefacts
from benchbox.results.measurements import Group
from benchbox.results.run_folder import read_untrusted_run
from benchbox.runs.registry import load_registry
from benchbox.runs.runner import resolve_device


def check_groups(
    run: Path,
    protocol: Protocol,
    groups: Sequence[Group],
    defense: str,
    *,
    plugins: tuple[Path, ...] = (),
    device: str = "auto",
    progress: Progress = lambda _share, _text: None,
) -> dict[Group, list[CheckResult]]:
    """Return what the sanity checks say of a defense, for each group of cells.

    No code of the run is imported: a defense that is not benchbox's own has to be in ``plugins``.

    Raises:
        BenchboxError: the run lacks its store or datasets, or another model that a required check
            needs; or the defense is unknown here.
    """
    store = Artefacts(read_untrusted_run(run))
    registry = load_registry(plugins)
    where = torch.device(resolve_device(device))
    subjects = {g: RunSubjects(store, registry, protocol, g, where) for g in groups}
    if "transfer" in protocol.required_checks:
        # Asked before the minutes that the other checks take.
        lacking = [group for group, of in subjects.items() if not of.sources(defense)]
        if lacking:
            raise refused(run, protocol, [f"{group_title(g)}: {NO_SOURCE}" for g in lacking])
    found = {}
    for place, (group, of_group) in enumerate(subjects.items()):

        def told(share: float, name: str, *, place: int = place, group: Group = group) -> None:
            what = f"{defense}, {group.train} → {group.test}: check {name}"
            progress((place + share) / len(groups), what)

        found[group] = of_group.examine(defense, progress=told)
    return found
