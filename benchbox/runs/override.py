"""Changes fields of a frozen dataclass as a grid's table says, each checked by its type."""

from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar, get_type_hints

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from benchbox.errors import BenchboxError, unknown_name
from benchbox.files.printable import printable
from benchbox.runs.grid import parse_fraction

T = TypeVar("T")

_SHOWN = 200
"""Characters of a faulty value that a message repeats."""


def override(instance: T, changes: dict[str, Any], *, where: str) -> T:
    """Return a copy of a frozen dataclass with some fields changed, checked by their types.

    Nested dataclasses take nested tables; a float field also takes a fraction such as "8/255".

    Args:
        instance: such as a recipe with its defaults.
        changes: field name → new value, as read from TOML.
        where: file and table, for errors.

    Raises:
        BenchboxError: an unknown field or a value of the wrong type.
    """
    if not is_dataclass(instance) or isinstance(instance, type):
        raise BenchboxError(f"{where}: {instance!r} has no parameters to override.")
    known = [field.name for field in fields(instance) if field.init]
    changed: dict[str, Any] = {}
    for key, value in changes.items():
        if key not in known:
            raise unknown_name("parameter", key, known, where=where)
        current = getattr(instance, key)
        if is_dataclass(current) and isinstance(value, dict):
            changed[key] = override(current, value, where=f"{where}.{key}")
        elif isinstance(current, float) and isinstance(value, str):
            try:
                changed[key] = float(parse_fraction(value))
            except ValueError as error:
                raise BenchboxError(f"{where}.{key}: {error}, not {value!r}.") from error
        else:
            changed[key] = _checked(type(instance), key, value, where=where)
    try:
        return replace(instance, **changed)
    except (BenchboxError, TypeError, ValueError) as error:
        raise BenchboxError(f"{where}: {error}") from error


def _checked(owner: type, key: str, value: Any, *, where: str) -> Any:
    """Return a value as the field's type has it.

    Through JSON, in whose strict mode an array is a tuple but "16" is no integer.
    """
    adapter: TypeAdapter[Any] = TypeAdapter(get_type_hints(owner, include_extras=True)[key])
    try:
        return adapter.validate_json(TypeAdapter(Any).dump_json(value), strict=True)
    except ValidationError as error:
        lines = fault_lines(error.errors(), where=where, below=(key,))
        raise BenchboxError("\n".join(lines)) from error
    except BenchboxError as error:
        raise BenchboxError(f"{where}: {key}: {error}") from error


def fault_lines(
    faults: Sequence[ErrorDetails], *, where: str, below: tuple[str | int, ...] = ()
) -> list[str]:
    """Return a line a fault: file, key, what was expected, and what stands there.

    Args:
        faults: as pydantic lists them.
        where: the file, or the file and a table of it.
        below: the keys that lead to what was checked.
    """
    lines = []
    for fault in faults:
        parts = (*below, *fault["loc"])
        key = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in parts)
        message = fault["msg"].removeprefix("Value error, ")
        value = repr(fault["input"])
        shown = value if len(value) <= _SHOWN else f"{value[:_SHOWN]}…"
        given = "" if fault["type"] == "missing" else f", not {shown}"
        lines.append(f"{where}: {printable(key.lstrip('.'))[:_SHOWN]}: {message}{given}.")
    return lines
