"""What a submission rests on: a run that has all its board asks for, read once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from benchbox.errors import BenchboxError
from benchbox.files.printable import printable
from benchbox.leaderboard.board_protocol import Protocol, read_protocol
from benchbox.leaderboard.entry.files import name_of
from benchbox.leaderboard.entry.record import About
from benchbox.leaderboard.entry.training import training_protocol
from benchbox.leaderboard.on_protocol import (
    grid_deviations,
    groups_of,
    is_given,
    missing_cells,
    require_defense,
    run_deviations,
    size_deviations,
)
from benchbox.leaderboard.submitting.collect import collect
from benchbox.leaderboard.submitting.collected import Collected
from benchbox.results.artefacts import Artefacts
from benchbox.results.cells import run_grid_of
from benchbox.results.conditions import CLEAN
from benchbox.results.measurements import Group, measurements
from benchbox.results.near_chance import collapsed_seeds
from benchbox.results.run_folder import RunFolder, read_run
from benchbox.results.stages import MOST_BYTES
from benchbox.runs.registry import Registry, given_models, load_registry
from benchbox.untrusted.json import as_record


@dataclass(frozen=True, kw_only=True)
class SubmitOptions:
    """What to submit, and what its author says of it.

    Attributes:
        run: the run's folder.
        defense: its registry name.
        board: the board's folder, which holds its protocol.toml.
        paper: web address (http or https), likewise ``code`` and ``weights``.
        authors: as they want to be named.
        note: what a reader should know.
        allow_unchecked: accept sanity checks that were not run, and mark the entry unchecked.
        replace: overwrite an entry that is on the board already.
        today: the day of submission; None for the day it is.
    """

    run: Path
    defense: str
    board: Path
    paper: str | None = None
    code: str | None = None
    weights: str | None = None
    authors: str | None = None
    note: str | None = None
    allow_unchecked: bool = False
    replace: bool = False
    today: date | None = None


@dataclass(frozen=True)
class Prepared:
    """A run that has all that its board asks for, read once.

    Attributes:
        options: what is submitted.
        protocol: the board's.
        artefacts: the run with its store.
        registry: our attacks and defenses, and those of the plugins.
        about: the defense as its author presents it.
        collected: the numbers of each group of cells, checked.
    """

    options: SubmitOptions
    protocol: Protocol
    artefacts: Artefacts
    registry: Registry
    about: About
    collected: Mapping[Group, Collected]

    @property
    def groups(self) -> tuple[Group, ...]:
        """The groups of cells that the board takes."""
        return tuple(self.collected)


def prepare(options: SubmitOptions, *, plugins: Sequence[Path] = ()) -> Prepared:
    """Read a run and check all of it that needs no sanity checks.

    A group is a backbone with a train and a test dataset. All required pairs of the board have to
    be in the run; transfers are entered where it has them. Weights and settings are a stranger's:
    nothing is computed with them before this.

    Args:
        options: what is submitted.
        plugins: files that add defenses, attacks or builders.

    Raises:
        BenchboxError: the run is incomplete or off protocol (the message lists everything, one
            line each), an artefact is missing or damaged, or a text is refused.
    """
    protocol = read_protocol(options.board)
    run = read_run(options.run, links="refused")
    about = _about(run, options)
    groups, problems = _submittable_groups(run, options.defense, protocol)
    trained = training_protocol(run.record.grid, run.record.defenses[options.defense])
    problems += _there_already(groups, protocol, options, trained)
    registry = load_registry(plugins)
    artefacts = Artefacts(run, MOST_BYTES, given=given_models(registry), sources=registry.datasets)
    collected = {}
    if not problems:
        for group in groups:
            collected[group] = collect(
                artefacts, protocol, registry.attacks, group, options.defense
            )
            problems += collected[group].problems
    if problems:
        raise refused(options.run, protocol, problems)
    return Prepared(options, protocol, artefacts, registry, about, collected)


def _submittable_groups(
    run: RunFolder, defense: str, protocol: Protocol
) -> tuple[tuple[Group, ...], list[str]]:
    """Return the groups of a run that a board takes, and all that the run lacks for it.

    Raises:
        BenchboxError: the run does not have this defense, or its grid is malformed.
    """
    require_defense(run, defense)
    grid = run_grid_of(run)
    groups = groups_of(run, defense, protocol)
    problems = grid_deviations(grid, protocol, is_given=is_given(run, defense))
    problems += size_deviations(run.record.defenses.get(defense), protocol)
    problems += run_deviations(run, protocol, groups)
    problems += _collapsed(run, defense, groups)
    if not groups and not problems:
        problems.append("the run has no dataset and backbone of this board")
    if not any(text.startswith(("attack ", "budget ", "seed ")) for text in problems):
        problems += missing_cells(run, defense, protocol, groups)
    return groups, problems


def _collapsed(run: RunFolder, defense: str, groups: Sequence[Group]) -> list[str]:
    """Return the models that tell nobody apart where they were trained: nothing to defend."""
    cells = measurements(run.results, run.record.names)
    return [
        f"{group_title(group)}, seed {seed}: clean mAP "
        f"{cells.at(group, defense, CLEAN)[seed].mAP:.2f} is near that of a random ranking "
        f"({run.record.names.chance[group.test]:.2f}): train it so that it tells people apart"
        for group in groups
        for seed in collapsed_seeds(cells, group, defense)
    ]


def _there_already(
    groups: Sequence[Group], protocol: Protocol, options: SubmitOptions, trained: str
) -> list[str]:
    if options.replace:
        return []
    names = [name_of(group, options.defense, protocol.version, trained) for group in groups]
    return [
        f"{name} is on the board already; say so if it is to be replaced"
        for name in names
        if (options.board / name).exists()
    ]


def _about(run: RunFolder, options: SubmitOptions) -> About:
    said = {
        key: getattr(options, key)
        for key in ("authors", "note", "paper", "code", "weights")
        if getattr(options, key) is not None
    }
    title = run.record.titles.get("defenses", {}).get(options.defense) or options.defense
    content = {"name": options.defense, "title": title, **said}
    return as_record(content, About, where="submission: defense")


def refused(run: Path, protocol: Protocol, problems: Sequence[str]) -> BenchboxError:
    """Return the error that lists everything a submission was refused for."""
    what = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    lines = [f"{printable(run)}: {printable(problem)}." for problem in problems]
    return BenchboxError(
        "\n".join([*lines, f"Not submitted to {protocol.board}: {what}; nothing was written."])
    )


def group_title(group: Group) -> str:
    """Return a group of cells in words."""
    return f"{group.backbone}, {group.train} → {group.test}"
