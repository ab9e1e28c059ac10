"""``benchbox submit``: from a finished run to entries of a board, all of them or none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

from benchbox.errors import BenchboxError
from benchbox.files.printable import printable
from benchbox.leaderboard.board_protocol import Protocol, read_protocol
from benchbox.leaderboard.entry.files import entry_text, name_of, sealed, write_entries
from benchbox.leaderboard.entry.record import About, Entry
from benchbox.leaderboard.on_protocol import (
    grid_deviations,
    groups_of,
    is_given,
    missing_cells,
    require_defense,
    run_deviations,
)
from benchbox.leaderboard.sanity.result import CheckResult
from benchbox.leaderboard.submitting.collect import collect
from benchbox.leaderboard.submitting.collected import Collected
from benchbox.leaderboard.verifying.plausibility import implausibilities
from benchbox.results.artefacts import Artefacts
from benchbox.results.cells import run_grid_of
from benchbox.results.measurements import Group
from benchbox.results.run_folder import RunFolder, read_run
from benchbox.runs.registry import Registry, given_models, load_registry
from benchbox.untrusted.json import as_record, parse_json

Checks = Mapping[Group, Sequence[CheckResult]]
"""What the sanity checks found, by group of cells."""


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
    today: date | None = field(default=None)


@dataclass(frozen=True)
class Submission:
    """What was written.

    Attributes:
        paths: of the entries.
        entries: in the same order.
    """

    paths: tuple[Path, ...]
    entries: tuple[Entry, ...]


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
        plugins: files that add defenses.

    Raises:
        BenchboxError: the run is incomplete or off protocol (the message lists everything, one
            line each), an artefact is missing or damaged, or a text is refused.
    """
    protocol = read_protocol(options.board)
    run = read_run(options.run, links="refused")
    about = _about(run, options)
    groups, problems = submittable_groups(run, options.defense, protocol)
    problems += _there_already(groups, protocol, options)
    registry = load_registry(plugins)
    artefacts = Artefacts(run, given=given_models(registry))
    collected = {}
    if not problems:
        for group in groups:
            collected[group] = collect(artefacts, protocol, group, options.defense)
            problems += collected[group].problems
    if problems:
        raise refused(options.run, protocol, problems)
    return Prepared(options, protocol, artefacts, registry, about, collected)


def submit(prepared: Prepared, *, checks: Checks) -> Submission:
    """Write a defense's entries, one per group of cells that the board takes.

    Args:
        prepared: see `prepare`.
        checks: what the sanity checks found.

    Raises:
        BenchboxError: a required check was not run, an entry would not pass `leaderboard verify`,
            or the board cannot be written to. Nothing is written then.
    """
    options, protocol = prepared.options, prepared.protocol
    problems = check_problems(
        prepared.groups, checks, protocol, allow_unchecked=options.allow_unchecked
    )
    entries: list[Entry] = []
    if not problems:
        entries, problems = _entries(prepared, checks)
    if problems:
        raise refused(options.run, protocol, problems)
    return Submission(write_entries(options.board, entries), tuple(entries))


def submittable_groups(
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
    problems += _size_deviations(run, defense, protocol)
    problems += run_deviations(run, protocol, groups)
    if not groups and not problems:
        problems.append("the run has no dataset and backbone of this board")
    if not any(text.startswith(("attack ", "budget ", "seed ")) for text in problems):
        problems += missing_cells(run, defense, protocol, groups)
    return groups, problems


def _size_deviations(run: RunFolder, defense: str, protocol: Protocol) -> list[str]:
    """Return how a given model's image size differs from what a board asks for."""
    described = run.record.defenses.get(defense, {})
    given = described.get("given") if isinstance(described, dict) else None
    if protocol.image_size is None or not isinstance(given, dict):
        return []
    size = given.get("image_size")
    if size == list(protocol.image_size):
        return []
    wanted = " × ".join(map(str, protocol.image_size))
    return [f"image_size: the model takes {str(size)[:40]}, the board {wanted}"]


def check_problems(
    groups: Sequence[Group], checks: Checks, protocol: Protocol, *, allow_unchecked: bool
) -> list[str]:
    """Return which required sanity checks were not run, and what is wrong with those that were."""
    problems = []
    for group in groups:
        found: dict[str, CheckResult] = {}
        for check in checks.get(group, ()):
            if check.name in found:
                problems.append(f"{group_title(group)}: check {check.name} stands there twice")
            found[check.name] = check
        if allow_unchecked:
            continue
        for name in protocol.required_checks:
            made = found.get(name)
            if made is None or made.outcome == "not run":
                why = f": {made.says.rstrip('.')}" if made else ""
                problems.append(f"{group_title(group)}: required check {name} was not run{why}")
    return problems


def refused(run: Path, protocol: Protocol, problems: Sequence[str]) -> BenchboxError:
    """Return the error that lists everything a submission was refused for."""
    what = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    lines = [f"{printable(run)}: {printable(problem)}." for problem in problems]
    return BenchboxError(
        "\n".join([*lines, f"Not submitted to {protocol.board}: {what}; nothing was written."])
    )


def _entries(prepared: Prepared, checks: Checks) -> tuple[list[Entry], list[str]]:
    entries, problems = [], []
    for group, collected in prepared.collected.items():
        where = f"{printable(prepared.options.run)}: {group_title(group)}"
        entry = sealed(
            collected.content(
                prepared.protocol,
                about=prepared.about,
                checks=_with_those_not_run(checks.get(group, ()), prepared.protocol),
                submitted=prepared.options.today or datetime.now(UTC).date(),
            ),
            where=where,
        )
        # The same questions that verify asks, so that what is written passes them.
        parse_json(entry_text(entry).encode(), where=where)
        faults = implausibilities(entry, prepared.protocol)
        problems += [f"{group_title(group)}: {says}" for says in faults]
        entries.append(entry)
    return entries, problems


def _there_already(
    groups: Sequence[Group], protocol: Protocol, options: SubmitOptions
) -> list[str]:
    if options.replace:
        return []
    names = [name_of(group, options.defense, protocol.version) for group in groups]
    return [
        f"{name} is on the board already; say so if it is to be replaced"
        for name in names
        if (options.board / name).exists()
    ]


def _with_those_not_run(
    given: Sequence[CheckResult], protocol: Protocol
) -> tuple[CheckResult, ...]:
    there = {check.name for check in given}
    missing = (name for name in protocol.required_checks if name not in there)
    unknown = (
        CheckResult(name=name, outcome="not run", says="The submission came without this check.")
        for name in missing
    )
    return (*given, *unknown)


def _about(run: RunFolder, options: SubmitOptions) -> About:
    said = {
        key: getattr(options, key)
        for key in ("authors", "note", "paper", "code", "weights")
        if getattr(options, key) is not None
    }
    title = run.record.titles.get("defenses", {}).get(options.defense) or options.defense
    content = {"name": options.defense, "title": title, **said}
    return as_record(content, About, where="submission: defense")


def group_title(group: Group) -> str:
    """Return a group of cells in words."""
    return f"{group.backbone}, {group.train} → {group.test}"
