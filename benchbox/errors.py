"""The two errors a user sees: one clear line and an exit code, never a traceback."""

import difflib
from collections.abc import Iterable

_LISTED = 30
"""Known names that a message lists."""

_COMPARED = 1_000
"""Known names that a wrong one is compared with, which takes time."""

_LONGEST = 100
"""Characters of a wrong name that a message repeats."""


class BenchboxError(Exception):
    """A problem the user can mend.

    The message names the file, key or image at fault, says what was expected and what to do.
    The command line prints it on one line and exits with ``exit_code``.
    """

    exit_code = 2


class CheckFailed(BenchboxError):
    """A check ran to its end and found problems (exit code 1)."""

    exit_code = 1


def unknown_name(kind: str, name: str, allowed: Iterable[str], *, where: str = "") -> BenchboxError:
    """Return the error for a name that is not in a registry, with the nearest one suggested.

    Args:
        kind: what the name should be, such as ``"attack"``.
        name: what was given.
        allowed: the registry's names.
        where: the file and key it stood in, such as ``"demo.toml: attacks"``.
    """
    names = sorted(allowed)
    shown = repr(name) if len(name) <= _LONGEST else f"{name[:_LONGEST]!r}…"
    nearest = difflib.get_close_matches(name[:_LONGEST], names[:_COMPARED], n=1, cutoff=0.5)
    hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
    prefix = f"{where}: " if where else ""
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    known = f"{', '.join(names[:_LISTED])}{more}"
    return BenchboxError(f"{prefix}unknown {kind} {shown}.{hint} Known: {known}.")
