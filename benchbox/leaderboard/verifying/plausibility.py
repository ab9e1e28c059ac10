"""Whether an entry's numbers can be what they say: with each other, its protocol and its data."""

from benchbox.leaderboard.board_protocol import Protocol
from benchbox.leaderboard.entry.record import Entry
from benchbox.leaderboard.verifying.allowed_outcomes import check_faults
from benchbox.leaderboard.verifying.count_faults import count_faults, rank_faults
from benchbox.leaderboard.verifying.identity_faults import bound_faults, identity_faults
from benchbox.leaderboard.verifying.mean_faults import mean_faults, worst_case_faults
from benchbox.leaderboard.verifying.order_faults import order_faults, pooled_faults
from benchbox.leaderboard.verifying.shape_faults import protocol_faults, seed_faults


def implausibilities(entry: Entry, protocol: Protocol) -> list[str]:
    """Return ``key: what is wrong`` for each fault in an entry, nothing for a plausible one."""
    shape = [*protocol_faults(entry, protocol), *seed_faults(entry, protocol)]
    if shape:
        # Numbers at the wrong place need not be compared.
        return shape
    return [
        *mean_faults(entry),
        *rank_faults(entry, protocol),
        *count_faults(entry, protocol),
        *worst_case_faults(entry),
        *identity_faults(entry),
        *bound_faults(entry),
        *order_faults(entry),
        *pooled_faults(entry),
        *check_faults(entry, protocol),
    ]
