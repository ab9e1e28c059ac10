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
    missing_cells,
    require_defense,
    run_deviations,
)
from benchbox.leaderboard.sanity.result import CheckResult
from benchbox.leaderboard.submitting.collect import collect
from benchbox.leaderboard.verifying.plausibility import implausibilities
from benchbox.results.cells import run_grid_of
from benchbox.results.measurements import Group
from benchbox.results.run_folder import RunFolder, read_untrusted_run
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


def submit(options: SubmitOptions, *, checks: Checks) -> Submission:
    """Write a defense's entries, one per group of cells that the board takes.

    A group is a backbone with a train and a test dataset. All required pairs of the board have to
    be in the run; transfers are entered where it has them.

    Raises:
        BenchboxError: the run is incomplete or off protocol (the message lists everything, one
            line each), an artefact is missing or damaged, or a text is refused. Nothing is
            written then.
    """
    protocol = read_protocol(options.board)
    run = read_untrusted_run(options.run)
    about = _about(run, options)
    groups, problems = submittable_groups(run, options.defense, protocol)
    problems += _there_already(groups, protocol, options)
    problems += check_problems(groups, checks, protocol, allow_unchecked=options.allow_unchecked)
    entries: list[Entry] = []
    if not problems:
        entries, problems = _entries(run, protocol, groups, about, checks, options)
    if problems:
        raise refused(options.run, protocol, problems)
    return Submission(write_entries(options.board, entries), tuple(entries))


def groups_to_check(options: SubmitOptions) -> tuple[Group, ...]:
    """Return the groups that sanity checks are to be run on, after all that needs no checks.

    Raises:
        BenchboxError: the run is not what the board asks for; the message lists everything.
    """
    protocol = read_protocol(options.board)
    run = read_untrusted_run(options.run)
    _about(run, options)
    groups, problems = submittable_groups(run, options.defense, protocol)
    problems += _there_already(groups, protocol, options)
    if not problems:
        # Weights and settings are a stranger's: nothing is computed with them before this.
        for group in groups:
            problems += collect(run, protocol, group, options.defense).problems
    if problems:
        raise refused(options.run, protocol, problems)
    return groups


def submittable_groups(
    run: RunFolder, defense: str, protocol: Protocol
) -> tuple[tuple[Group, ...], list[str]]:
    """Return the groups of a run that a board takes, and all that the run lacks for it.

    Raises:
        BenchboxError: the run does not have this defense, or its grid is malformed.
    """
    require_defense(run, defense)
    grid = run_grid_of(run)
    groups = groups_of(grid, protocol)
    problems = grid_deviations(grid, protocol) + run_deviations(run, protocol, groups)
    if not groups and not problems:
        problems.append("the run has no dataset and backbone of this board")
    if not any(text.startswith(("attack ", "budget ", "seed ")) for text in problems):
        problems += missing_cells(run, defense, protocol, groups)
    return groups, problems


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


def _entries(
    run: RunFolder,
    protocol: Protocol,
    groups: Sequence[Group],
    about: About,
    checks: Checks,
    options: SubmitOptions,
) -> tuple[list[Entry], list[str]]:
    entries, problems = [], []
    for group in groups:
        collected = collect(run, protocol, group, about.name)
        problems += collected.problems
        if collected.problems:
            continue
        outcomes = _with_those_not_run(checks.get(group, ()), protocol)
        where = f"{printable(run.path)}: {group_title(group)}"
        entry = sealed(
            collected.content(
                protocol,
                about=about,
                checks=outcomes,
                submitted=options.today or datetime.now(UTC).date(),
            ),
            where=where,
        )
        # The same questions that verify asks, so that what is written passes them.
        parse_json(entry_text(entry).encode(), where=where)
        problems += [f"{group_title(group)}: {says}" for says in implausibilities(entry, protocol)]
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
