"""Researchers' repositories often hold a folder ``attacks/``: notice when it hides ours."""

import importlib.util
from pathlib import Path

from benchbox.errors import BenchboxError


def require_own_packages() -> None:
    """Check that ``attacks`` and ``defenses`` are the ones installed beside ``benchbox``.

    The specification is looked up without running the stranger's code.

    Raises:
        BenchboxError: another package of that name comes first on the import path.
    """
    home = Path(__file__).resolve().parent.parent
    for name in ("attacks", "defenses"):
        spec = importlib.util.find_spec(name)
        found = Path(spec.origin).resolve() if spec and spec.origin else None
        if found != home / name / "__init__.py":
            place = found.parent if found else "a folder without __init__.py"
            raise BenchboxError(
                f"the package {name!r} of benchbox is hidden by {place}: Python finds that one "
                f"first. Run benchbox from another folder, or take that folder's parent off "
                "PYTHONPATH."
            )
