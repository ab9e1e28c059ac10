"""Writes a defense's entries on a board, all of them or none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchbox.files.printable import printable
from benchbox.leaderboard.board_protocol import Protocol
from benchbox.leaderboard.entry.files import entry_text, sealed, write_entries
from benchbox.leaderboard.entry.record import Entry
from benchbox.leaderboard.sanity.result import CheckResult
from benchbox.leaderboard.submitting.prepare import Prepared, group_title, refused
from benchbox.leaderboard.verifying.plausibility import implausibilities
from benchbox.results.measurements import Group
from benchbox.untrusted.json import parse_json

Checks = Mapping[Group, Sequence[CheckResult]]
"""What the sanity checks found, by group of cells."""


@dataclass(frozen=True)
class Submission:
    """What was written.

    Attributes:
        paths: of the entries.
        entries: in the same order.
    """

    paths: tuple[Path, ...]
    entries: tuple[Entry, ...]


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
    problems = _check_problems(
        prepared.groups, checks, protocol, allow_unchecked=options.allow_unchecked
    )
    entries: list[Entry] = []
    if not problems:
        entries, problems = _entries(prepared, checks)
    if problems:
        raise refused(options.run, protocol, problems)
    return Submission(write_entries(options.board, entries), tuple(entries))


def _check_problems(
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
