"""What the checks of an entry may say: which have to be there, and which may not be applicable."""

from collections.abc import Callable, Iterator, Mapping

from attacks import WorstCase
from benchbox.leaderboard.board_protocol import Protocol
from benchbox.leaderboard.entry.record import Entry, status_of
from benchbox.leaderboard.sanity.result import CheckResult


def _has_worst_case(entry: Entry) -> bool:
    return any(result.attack == WorstCase.name for result in entry.results)


MAY_BE_SPARED: Mapping[str, Callable[[Entry], bool]] = {
    "larger_budget": lambda entry: len(entry.worst_case) < 2,
    "bpda": lambda entry: entry.provenance.defense.get("guard") is None,
    "rank_filter": lambda entry: entry.provenance.defense.get("guard") is None,
    "eot": lambda _entry: True,
    "cheaper_attack": lambda entry: not _has_worst_case(entry),
    "longer_attack": lambda entry: not _has_worst_case(entry),
}
"""Check → whether it may be "not applicable" to an entry; all others apply to every defense."""


def check_faults(entry: Entry, protocol: Protocol) -> Iterator[str]:
    """Yield what is wrong with the checks of an entry and the status it draws from them."""
    names = [check.name for check in entry.checks]
    if len(set(names)) != len(names):
        yield "checks: one stands there twice"
    for name in protocol.required_checks:
        if name not in names:
            yield f"checks: {name} is missing"
    yield from (says for check in entry.checks if (says := _spared(check, entry)))
    expected = status_of(entry.checks)
    if entry.status != expected:
        yield f"status: {entry.status}, its checks make it {expected}"


def _spared(check: CheckResult, entry: Entry) -> str | None:
    if check.outcome != "not applicable":
        return None
    may_be = MAY_BE_SPARED.get(check.name)
    if may_be is not None and may_be(entry):
        return None
    return f"checks: {check.name} is not applicable, it says; to this defense it is"
