"""File names by a pattern that a user writes down: ``{pid}_c{camid}s{*}_{*}.jpg``."""

import re
from dataclasses import dataclass
from functools import cached_property

from benchbox.data.naming import is_clutter
from benchbox.errors import BenchboxError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")

FIELDS = {
    # Digits first, so that of c12s1 the camera is 12 wherever the pattern allows it.
    "pid": r"(?:-?[0-9]+|[^/]+?)",
    "camid": r"(?:[0-9]+|[^/]+?)",
    "view": r"[0-9]+",
    "split": r"[^/]+",
}
"""What stands in braces, and what each may match; ``{*}`` is anything but a slash."""


@dataclass(frozen=True)
class NamePattern:
    """A pattern of an image's path below its folder.

    Everything outside braces stands for itself, a slash for a folder. ``{pid}`` is the identity and
    has to be there; ``{camid}``, ``{view}`` and ``{split}`` are optional, ``{*}`` is anything
    within one folder's or file's name. The suffix is compared without regard to case.

    Attributes:
        text: the pattern.

    Raises:
        BenchboxError: a field is unknown, stands there twice, or ``{pid}`` is missing.
    """

    text: str

    def __post_init__(self) -> None:
        names = re.findall(r"\{([^{}]*)\}", self.text)
        unknown = [name for name in names if name != "*" and name not in FIELDS]
        twice = [name for name in FIELDS if names.count(name) > 1]
        braces = re.sub(r"\{[^{}]*\}", "", self.text)
        if unknown or twice or "pid" not in names or "{" in braces or "}" in braces:
            allowed = ", ".join(f"{{{name}}}" for name in (*FIELDS, "*"))
            fault = next(
                (f"{{{name}}} " for name in (*unknown, *twice)),
                "" if "pid" in names else "{pid} is missing; ",
            )
            raise BenchboxError(
                f"pattern {self.text!r}: {fault}expected each of {allowed} at most once ({{*}} as "
                "often as you like) and {pid} among them, such as {pid}_c{camid}_{*}.jpg."
            )

    @property
    def fields(self) -> set[str]:
        """Which fields the pattern has."""
        return {name for name in FIELDS if f"{{{name}}}" in self.text}

    @cached_property
    def _compiled(self) -> re.Pattern[str]:
        stem, dot, suffix = self.text.rpartition(".")
        if not dot or f".{suffix.lower()}" not in IMAGE_SUFFIXES:
            stem, suffix = self.text, ""
        parts = re.split(r"\{([^{}]*)\}", stem)
        written = ""
        for place, part in enumerate(parts):
            if place % 2 == 0:
                written += re.escape(part)
            elif part == "*":
                written += "[^/]*?"
            else:
                written += f"(?P<{part}>{FIELDS[part]})"
        endings = "|".join(re.escape(each) for each in IMAGE_SUFFIXES)
        ending = re.escape(dot + suffix) if suffix else endings
        ending = re.escape(dot + suffix) if suffix else endings
        return re.compile(f"{written}(?i:{ending})")

    def read(self, path: str) -> dict[str, str] | None:
        """Return field → text of a path below the dataset (with slashes), None if it differs."""
        match = self._compiled.fullmatch(path)
        return match.groupdict() if match else None


def is_image_name(name: str) -> bool:
    """Return whether a file is to be looked at: an image by its suffix, and no clutter."""
    return name.lower().endswith(IMAGE_SUFFIXES) and not is_clutter(name)
