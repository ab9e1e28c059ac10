"""How Market-1501 and DukeMTMC-reID write identity, camera and frame into a file name."""

import re
from dataclasses import dataclass
from typing import Literal

Naming = Literal["market", "duke"]

NAME_EXAMPLES: dict[Naming, str] = {
    "market": "0002_c1s1_000451_03.jpg",
    "duke": "0001_c2_f0046182.jpg",
}
"""One file name of each convention, as error messages show them."""

NAMING_TITLES: dict[Naming, str] = {"market": "Market-1501", "duke": "DukeMTMC-reID"}

# [0-9], not \d: the latter also matches the digits of other scripts. Cameras count from 1.
_PID = r"(?P<pid>-1|[0-9]{4,7})"
_CAMERA = r"c(?P<camid>[1-9][0-9]?)"
_EXTENSION = r"(?i:jpg|jpeg|png)"
_PATTERNS: dict[Naming, re.Pattern[str]] = {
    "market": re.compile(
        rf"{_PID}_{_CAMERA}s(?P<sequence>[1-9][0-9]?)_(?P<frame>[0-9]{{6,9}})"
        rf"_(?P<box>[0-9]{{2,4}})\.{_EXTENSION}"
    ),
    "duke": re.compile(rf"{_PID}_{_CAMERA}_f(?P<frame>[0-9]{{7,9}})\.{_EXTENSION}"),
}


@dataclass(frozen=True, slots=True)
class ImageName:
    """What a file name says.

    Attributes:
        naming: the convention the name follows.
        pid: the identity; -1 junk, 0 distractor.
        camid: the camera, 1 to 99.
        frame: the frame within the camera's recording.
        sequence: the recording of that camera, from 1 (Market-1501 only).
        box: the detection within the frame (Market-1501 only).
    """

    naming: Naming
    pid: int
    camid: int
    frame: int
    sequence: int | None = None
    box: int | None = None


def parse_name(file_name: str) -> ImageName | None:
    """Return what a Market-1501 or DukeMTMC-reID file name says, None for any other name.

    The identity is the number, so ``0002`` and ``00002`` are the same person.
    """
    for naming, pattern in _PATTERNS.items():
        match = pattern.fullmatch(file_name)
        if match:
            numbers = {field: int(value) for field, value in match.groupdict().items()}
            return ImageName(naming=naming, **numbers)
    return None


def format_name(name: ImageName, *, extension: str = "jpg") -> str:
    """Return the file name that ``parse_name`` reads back as ``name``."""
    pid = "-1" if name.pid == -1 else f"{name.pid:04d}"
    if name.naming == "market":
        return f"{pid}_c{name.camid}s{name.sequence}_{name.frame:06d}_{name.box:02d}.{extension}"
    return f"{pid}_c{name.camid}_f{name.frame:07d}.{extension}"


def is_clutter(file_name: str) -> bool:
    """Return whether an operating system left this file behind (Market-1501 ships Thumbs.db)."""
    return file_name.startswith(".") or file_name.lower() in {"thumbs.db", "desktop.ini"}
