"""Writes a resolved grid back as the TOML file that it can be run from."""

from collections.abc import Mapping, Sequence
from typing import Any

import tomli_w

from benchbox.errors import BenchboxError


def as_toml(content: Mapping[str, Any], *, where: str) -> str:
    """Return a JSON object as TOML; reading it back gives the same values.

    Raises:
        BenchboxError: it holds null, which TOML has no word for.
    """
    _require_values(content, (), where)
    return tomli_w.dumps(content)


def _require_values(value: Any, path: tuple[str, ...], where: str) -> None:
    if value is None:
        raise BenchboxError(f"{where}: {'.'.join(path)}: null, expected a value.")
    if isinstance(value, Mapping):
        for key, inner in value.items():
            _require_values(inner, (*path, key), where)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for inner in value:
            _require_values(inner, path, where)
