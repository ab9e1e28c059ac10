"""Reads JSON from strangers: bounded before it is parsed, and nothing in it is passed over."""

import json
import math
import re
import reprlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from benchbox.errors import BenchboxError
from benchbox.files.printable import printable

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much of a file is read at most.

    Attributes:
        size: bytes of the file.
        depth: lists and objects within each other.
        values: commas, lists and objects in all.
        digits: of one number.
        text: characters of one text.
        key: characters of one key.
    """

    size: int = 2_000_000
    depth: int = 16
    values: int = 200_000
    digits: int = 30
    text: int = 4_000
    key: int = 200


ENTRY = Limits()
RUN = Limits(size=64_000_000, values=4_000_000)
"""For a run's folder: all queries of Market-1501, a record of thousands of cells."""

_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)', re.DOTALL)
"""Also one that does not end: else each of its escaped quotes would be tried as a start."""

_PLACE = 300
"""Characters of a key, with those it lies in, that a message repeats."""


_SURROGATES = re.compile("[\ud800-\udfff]")

_Keys = tuple[str | int, ...]
"""Where a value stands: the keys and places of what it lies in."""


@dataclass(frozen=True)
class _Fault:
    """Stands in the parsed tree for what is not allowed, until its key is known."""

    says: str


def read_bounded(path: Path, *, size: int) -> bytes:
    """Return a file's bytes.

    Raises:
        BenchboxError: it is no regular file, is a link, cannot be read or is larger than ``size``.
    """
    where = printable(path)
    try:
        if path.is_symlink():
            raise BenchboxError(f"{where}: is a link; expected the file itself.")
        if not path.is_file():
            raise BenchboxError(f"{where}: no such file.")
        with path.open("rb") as stream:
            content = stream.read(size + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BenchboxError(f"{where}: cannot be read ({reason}).") from error
    if len(content) > size:
        raise BenchboxError(f"{where}: larger than {size:,} bytes, the most that is read.")
    return content


def read_json(path: Path, *, limits: Limits = ENTRY) -> Any:
    """Return what a JSON file holds.

    Raises:
        BenchboxError: it is too large, too deep, not UTF-8 or not JSON, repeats a key, or holds
            NaN, an infinity, a number out of range or a text with half a character.
    """
    content = read_bounded(path, size=limits.size)
    return parse_json(content, where=printable(path), limits=limits)


def parse_json(content: bytes, *, where: str, limits: Limits = ENTRY) -> Any:
    """Return what JSON text holds; see `read_json`.

    Raises:
        BenchboxError: likewise.
    """
    if len(content) > limits.size:
        raise BenchboxError(f"{where}: larger than {limits.size:,} bytes, the most that is read.")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BenchboxError(f"{where}: not UTF-8 (byte {error.start}).") from error
    _require_bounded(where, text, limits)
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=lambda name: _Fault(f"{name} is not a number"),
            parse_float=lambda digits: _float(digits, limits),
            parse_int=lambda digits: _int(digits, limits),
        )
    except (ValueError, RecursionError) as error:
        raise BenchboxError(f"{where}: not valid JSON ({error}).") from error
    _require_faultless(where, value, (), limits)
    return value


def read_record(path: Path, kind: type[T], *, limits: Limits = ENTRY) -> T:
    """Return what a JSON file holds as a record (or any type that pydantic validates), strictly.

    A text or a truth value is no number here, and an unknown key is refused.

    Raises:
        BenchboxError: as for `read_json`, or the first key that does not fit, with its value.
    """
    return as_record(read_json(path, limits=limits), kind, where=printable(path))


def as_record(value: Any, kind: type[T], *, where: str) -> T:
    """Return a JSON value as a record, strictly; see `read_record`.

    Raises:
        BenchboxError: it does not fit; one line with the first key and how many more there are.
    """
    adapter: TypeAdapter[T] = TypeAdapter(kind)
    try:
        # Through JSON, in whose strict mode an array is a tuple but "16" is no number.
        return adapter.validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        raise BenchboxError(_first_fault(where, error)) from error
    except RecursionError as error:
        raise BenchboxError(f"{where}: nested too deep.") from error


def as_json(record: BaseModel) -> dict[str, Any]:
    """Return a record as JSON, with the names its files use."""
    content: dict[str, Any] = record.model_dump(mode="json", by_alias=True)
    return content


def _require_bounded(where: str, text: str, limits: Limits) -> None:
    """Check depth and count before parsing, which would recurse or fill the memory."""
    depth = values = 0
    for match in re.finditer(r"[\[\]{},]", _STRINGS.sub("", text)):
        if match[0] in "[{":
            depth += 1
            values += 1
        elif match[0] in "]}":
            depth -= 1
        else:
            values += 1
        if depth > limits.depth:
            raise BenchboxError(f"{where}: nested deeper than {limits.depth} levels.")
        if values > limits.values:
            raise BenchboxError(f"{where}: holds more than {limits.values:,} values.")


def _object(pairs: list[tuple[str, Any]]) -> Any:
    found: dict[str, Any] = {}
    for key, value in pairs:
        found[key] = _Fault("stands there twice") if key in found else value
    return found


def _float(digits: str, limits: Limits) -> Any:
    value = float(digits) if len(digits) <= limits.digits else math.inf
    return value if math.isfinite(value) else _Fault("a number out of range")


def _int(digits: str, limits: Limits) -> Any:
    # Longer ones take quadratic time, and none of ours is above 2**53.
    value = int(digits) if len(digits) <= limits.digits else 2**60
    return value if abs(value) <= 2**53 else _Fault("a number out of range")


def _require_faultless(where: str, value: Any, keys: _Keys, limits: Limits) -> None:
    """Walk the tree, so that what is not allowed is named by its key."""
    # The key in words is put together for a fault alone: there may be millions of values.
    says = None
    if isinstance(value, _Fault):
        says = value.says
    elif isinstance(value, str):
        says = _fault_of_text(value, limits.text)
    elif isinstance(value, dict):
        for name, inner in value.items():
            fault = _fault_of_text(name, limits.key)
            if fault:
                raise BenchboxError(f"{where}: {_place(keys)}: a key: {fault}.")
            _require_faultless(where, inner, (*keys, name), limits)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _require_faultless(where, inner, (*keys, index), limits)
    if says:
        raise BenchboxError(f"{where}: {_place(keys)}: {says}.")


def _fault_of_text(text: str, most: int) -> str | None:
    if len(text) > most:
        return f"longer than {most:,} characters"
    if _SURROGATES.search(text):
        return "holds half a character (a lone surrogate)"
    return None


def _place(keys: _Keys) -> str:
    """Return where a value stands, such as ``results[0].mAP``."""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys).lstrip(".")
    shown = printable(text[:_PLACE])
    return (shown if len(text) <= _PLACE else f"{shown}…") or "top level"


def _first_fault(where: str, error: ValidationError) -> str:
    faults = error.errors()
    fault = faults[0]
    message = fault["msg"].removeprefix("Value error, ")
    given = _given(fault["input"])
    shown = given if len(given) <= 80 else f"{given[:80]}…"
    value = (
        "" if fault["type"] == "missing" or isinstance(fault["input"], dict) else f", not {shown}"
    )
    more = f" ({len(faults) - 1} more)" if len(faults) > 1 else ""
    return f"{where}: {_place(fault['loc'])}: {printable(message[:500])}{value}.{more}"


def _given(value: Any) -> str:
    """Return what was given, of a long list its beginning."""
    return reprlib.repr(value) if isinstance(value, (list, tuple, dict)) else repr(value)
