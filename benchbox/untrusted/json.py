"""Reads JSON from strangers: bounded before it is parsed, and nothing in it is passed over."""

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from benchbox.errors import BenchboxError
from benchbox.files.bounded import Links, read_at_most
from benchbox.files.printable import printable
from benchbox.untrusted.faults import Keys, first_fault, place

T = TypeVar("T")

Unknown = Literal["refused", "left unread"]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much of a file is read at most.

    Attributes:
        size: bytes of the file.
        depth: lists and objects within each other.
        values: commas, lists and objects in all.
        key: characters of one key.
    """

    size: int = 2_000_000
    depth: int = 16
    values: int = 200_000
    key: int = 200


ENTRY = Limits()
RUN = Limits(size=64_000_000, values=4_000_000)
"""For a run's folder: all queries of Market-1501, a record of thousands of cells."""

_DIGITS = 30
"""Of one number. Longer ones take quadratic time to read, and none of ours is above 2**53."""

_TEXT = 4_000
"""Characters of one text."""

_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)', re.DOTALL)
"""Also one that does not end: else each of its escaped quotes would be tried as a start."""

_SURROGATES = re.compile("[\ud800-\udfff]")


class _Number(str):
    """A number, NaN or infinity as it is written: checked where its key is known."""

    __slots__ = ()


class _Pairs(list[tuple[str, Any]]):
    """An object's keys and values as they are written: a key may stand there twice."""


def read_json(path: Path, *, limits: Limits = ENTRY, links: Links = "refused") -> Any:
    """Return what a JSON file holds.

    Raises:
        BenchboxError: it cannot be read (see `read_at_most`), is too deep, not UTF-8 or not JSON,
            repeats a key, or holds NaN, an infinity, a number out of range, or a text that is too
            long or has half a character.
    """
    return parse_json(_content(path, limits, links), where=printable(path), limits=limits)


def parse_json(content: bytes, *, where: str, limits: Limits = ENTRY) -> Any:
    """Return what JSON text holds; see `read_json`.

    Raises:
        BenchboxError: likewise.
    """
    if len(content) > limits.size:
        raise BenchboxError(f"{where}: larger than {limits.size:,} bytes, the most that is read.")
    try:
        text = content.decode("utf-8")
        _require_bounded(where, text, limits)
        written = json.loads(
            text,
            object_pairs_hook=_Pairs,
            parse_constant=_Number,
            parse_float=_Number,
            parse_int=_Number,
        )
    except UnicodeDecodeError as error:
        raise BenchboxError(f"{where}: not UTF-8 (byte {error.start}).") from error
    except (ValueError, RecursionError) as error:
        raise BenchboxError(f"{where}: not valid JSON ({error}).") from error
    return _Checker(where, limits.key).value(written, ())


def read_record(path: Path, kind: type[T], *, limits: Limits = ENTRY) -> T:
    """Return what a JSON file holds as a record (or any type that pydantic validates), strictly.

    A text or a truth value is no number here, and an unknown key is refused.

    Raises:
        BenchboxError: as for `read_json`, or the first key that does not fit, with its value.
    """
    content, where = _content(path, limits, "refused"), printable(path)
    parse_json(content, where=where, limits=limits)
    return _validated(content, kind, where=where)


def read_lines(path: Path, kind: type[T], *, limits: Limits = ENTRY) -> list[T]:
    """Return what the lines of a JSON Lines file hold, each as a record; see `read_record`.

    Raises:
        BenchboxError: as for `read_record`; the line's number stands behind the file's name.
    """
    found = []
    for number, line in enumerate(_content(path, limits, "refused").splitlines(), start=1):
        where = f"{printable(path)}:{number}"
        parse_json(line, where=where, limits=limits)
        found.append(_validated(line, kind, where=where))
    return found


def as_record(value: Any, kind: type[T], *, where: str, unknown: Unknown = "refused") -> T:
    """Return a JSON value as a record, strictly; see `read_record`.

    Args:
        value: plain JSON.
        kind: the record.
        where: the file.
        unknown: what becomes of keys that the record does not have.

    Raises:
        BenchboxError: it does not fit; one line with the first key and how many more there are.
    """
    try:
        # Through JSON, in whose strict mode an array is a tuple but "16" is no number.
        return _validated(json.dumps(value), kind, where=where, unknown=unknown)
    except RecursionError as error:
        raise BenchboxError(f"{where}: nested too deep.") from error


def as_json(record: BaseModel) -> dict[str, Any]:
    """Return a record as JSON, with the names its files use."""
    content: dict[str, Any] = record.model_dump(mode="json", by_alias=True)
    return content


def _content(path: Path, limits: Limits, links: Links) -> bytes:
    try:
        return read_at_most(path, size=limits.size, links=links)
    except OSError as error:
        raise BenchboxError(f"{printable(path)}: {error.strerror}.") from error


def _validated(
    content: bytes | str, kind: type[T], *, where: str, unknown: Unknown = "refused"
) -> T:
    adapter: TypeAdapter[T] = TypeAdapter(kind)
    extra: Literal["ignore"] | None = "ignore" if unknown == "left unread" else None
    try:
        return adapter.validate_json(content, strict=True, extra=extra)
    except ValidationError as error:
        raise BenchboxError(f"{where}: {first_fault(error)}") from error


def _require_bounded(where: str, text: str, limits: Limits) -> None:
    """Check depth and count before parsing, which would recurse or fill the memory."""
    depth = values = 0
    for match in re.finditer(r"[\[\]{},]", _STRINGS.sub("", text)):
        depth += (match[0] in "[{") - (match[0] in "]}")
        values += match[0] in "[{,"
        if depth > limits.depth:
            raise BenchboxError(f"{where}: nested deeper than {limits.depth} levels.")
        if values > limits.values:
            raise BenchboxError(f"{where}: holds more than {limits.values:,} values.")


@dataclass(frozen=True)
class _Checker:
    """Turns what was written into plain JSON, and names what is not allowed by its key.

    Attributes:
        where: the file.
        key: characters of one key at most.
    """

    where: str
    key: int

    def value(self, written: Any, keys: Keys) -> Any:
        """Return a value that stands below ``keys``."""
        if isinstance(written, _Number):
            return self._number(written, keys)
        if isinstance(written, str):
            return self._text(written, keys, most=_TEXT)
        if isinstance(written, _Pairs):
            return self._object(written, keys)
        if isinstance(written, list):
            return [self.value(inner, (*keys, index)) for index, inner in enumerate(written)]
        return written

    def _object(self, pairs: _Pairs, keys: Keys) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, inner in pairs:
            self._text(key, keys, most=self.key, what=" a key:")
            if key in found:
                raise self._fault((*keys, key), " stands there twice")
            found[key] = self.value(inner, (*keys, key))
        return found

    def _text(self, text: str, keys: Keys, *, most: int, what: str = "") -> str:
        if len(text) > most:
            raise self._fault(keys, f"{what} longer than {most:,} characters")
        if _SURROGATES.search(text):
            raise self._fault(keys, f"{what} holds half a character (a lone surrogate)")
        return text

    def _number(self, written: str, keys: Keys) -> int | float:
        if written[-1].isalpha():
            raise self._fault(keys, f" {written} is not a number")
        whole = written.lstrip("-").isdecimal()
        if len(written) <= _DIGITS:
            value = int(written) if whole else float(written)
            if math.isfinite(value) and (not whole or abs(value) <= 2**53):
                return value
        raise self._fault(keys, " a number out of range")

    def _fault(self, keys: Keys, says: str) -> BenchboxError:
        # The key in words is put together for a fault alone: there may be millions of values.
        return BenchboxError(f"{self.where}: {place(keys)}:{says}.")
