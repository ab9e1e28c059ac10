"""Says in one line what is wrong with a value, and where it stands."""

import reprlib

from pydantic import ValidationError

from benchbox.files.printable import printable

Keys = tuple[str | int, ...]
"""Where a value stands: the keys and places of what it lies in."""

_PLACE = 300
"""Characters of a key, with those it lies in, that a message repeats."""


def place(keys: Keys) -> str:
    """Return where a value stands, such as ``results[0].mAP``."""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys).lstrip(".")
    shown = printable(text[:_PLACE])
    return (shown if len(text) <= _PLACE else f"{shown}…") or "top level"


def first_fault(error: ValidationError) -> str:
    """Return the first of a record's faults with its value, and how many more there are."""
    fault, *others = error.errors()
    message = fault["msg"].removeprefix("Value error, ")
    value = ""
    if fault["type"] != "missing" and not isinstance(fault["input"], dict):
        given = _given(fault["input"])
        value = f", not {given if len(given) <= 80 else f'{given[:80]}…'}"
    more = f" ({len(others)} more)" if others else ""
    return f"{place(fault['loc'])}: {printable(message[:500])}{value}.{more}"


def _given(value: object) -> str:
    """Return what was given, of a long list its beginning."""
    return reprlib.repr(value) if isinstance(value, (list, tuple)) else repr(value)
