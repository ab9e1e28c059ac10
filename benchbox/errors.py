"""The two errors a user sees: one clear line and an exit code, never a traceback."""

import difflib
from collections.abc import Iterable


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
    nearest = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
    prefix = f"{where}: " if where else ""
    return BenchboxError(f"{prefix}unknown {kind} {name!r}.{hint} Known: {', '.join(names)}.")
