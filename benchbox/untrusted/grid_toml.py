"""Writes a resolved grid back as the TOML file that it can be run from."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from benchbox.errors import BenchboxError

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def as_toml(content: Mapping[str, Any], *, where: str) -> str:
    """Return a JSON object as TOML; reading it back gives the same values.

    Raises:
        BenchboxError: it holds null, which TOML has no word for.
    """
    return "\n".join(_table(content, (), where)).strip() + "\n"


def _table(content: Mapping[str, Any], path: tuple[str, ...], where: str) -> Iterator[str]:
    tables = {key: value for key, value in content.items() if isinstance(value, Mapping)}
    for key, value in content.items():
        if key not in tables:
            yield f"{_key(key)} = {_value(value, (*path, key), where)}"
    for key, table in tables.items():
        inner = (*path, key)
        yield ""
        yield f"[{'.'.join(map(_key, inner))}]"
        yield from _table(table, inner, where)


def _value(value: Any, path: tuple[str, ...], where: str) -> str:
    if value is None:
        raise BenchboxError(f"{where}: {'.'.join(path)}: null, expected a value.")
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_value(inner, path, where) for inner in value)}]"
    if isinstance(value, Mapping):
        pairs = (f"{_key(k)} = {_value(v, (*path, k), where)}" for k, v in value.items())
        return f"{{ {', '.join(pairs)} }}" if value else "{}"
    # true, false, integers and finite floats are written alike in both.
    return json.dumps(value, allow_nan=False)


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _text(key)


def _text(text: str) -> str:
    # JSON's escapes are TOML's too; DEL is the one character that only TOML forbids.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
