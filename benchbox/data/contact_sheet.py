"""A contact sheet: what a dataset looks like, identity by identity."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from benchbox.data.decoding import as_rgb
from benchbox.data.protocol import ImageRecord
from benchbox.errors import BenchboxError
from benchbox.files.atomic import atomic_path

_TILE = (96, 192)  # width and height of an image on the sheet, pixels
_GAP = 8
_LABEL = 22
_MARGIN = 92  # room for the identities' numbers
_TEXT = 15
_BORDER = 3  # a frame's width, drawn around the image so that it hides no pixel


@dataclass(frozen=True, slots=True)
class Frame:
    """A coloured frame around an image.

    Attributes:
        colour: as Pillow reads it, such as ``#009E73``.
        meaning: what the legend says beside it.
    """

    colour: str
    meaning: str


def pick_identities(
    records: Iterable[ImageRecord], *, identities: int = 8, images: int = 8
) -> dict[int, list[ImageRecord]]:
    """Return identities spread evenly over the pids, each with images from all its cameras.

    Junk and distractors are left out. An identity's images are taken camera by camera in turn,
    then sorted by camera, so that no camera is missing while another is there twice.

    Args:
        records: of one split or of several.
        identities: how many rows at most.
        images: how many images a row at most.
    """
    by_pid: dict[int, dict[int, list[ImageRecord]]] = {}
    for record in records:
        if record.pid > 0:
            by_pid.setdefault(record.pid, {}).setdefault(record.camid, []).append(record)
    pids = sorted(by_pid)
    places = np.linspace(0, len(pids) - 1, min(identities, len(pids))).round().astype(int)
    picked: dict[int, list[ImageRecord]] = {}
    for pid in (pids[place] for place in places):
        cameras = [cameras_records for _, cameras_records in sorted(by_pid[pid].items())]
        turns = max(map(len, cameras))
        in_turn = [
            camera[turn] for turn in range(turns) for camera in cameras if turn < len(camera)
        ]
        picked[pid] = sorted(in_turn[:images], key=lambda record: record.camid)
    return picked


def contact_sheet(
    rows: Mapping[int, Sequence[ImageRecord]],
    path: Path,
    *,
    title: str = "",
    frame: Callable[[ImageRecord], Frame | None] = lambda _record: None,
) -> Path:
    """Write a sheet with a row per identity and an image per column, camera above each image.

    Args:
        rows: pid → its images, in the order of the row.
        path: the PNG to write.
        title: a line above the sheet, such as the dataset's name.
        frame: gives an image its frame, None for no frame. A legend line says what each means.

    Returns:
        ``path``.

    Raises:
        BenchboxError: there is nothing to show, an image cannot be read, or ``path`` not written.
    """
    columns = max((len(records) for records in rows.values()), default=0)
    if not columns:
        raise BenchboxError(f"{path}: no images for a contact sheet. Is the dataset empty?")
    head = _head(title, [frame(record) for records in rows.values() for record in records])
    width, height = _TILE
    row_height = _LABEL + height + _GAP
    sheet = Image.new(
        "RGB",
        (
            max(_MARGIN + columns * (width + _GAP), head.width),
            head.height + len(rows) * row_height,
        ),
        "white",
    )
    sheet.paste(head)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=_TEXT)
    for row, (pid, records) in enumerate(rows.items()):
        y = head.height + row * row_height
        draw.text((_GAP, y + _LABEL + height // 2 - _TEXT), f"pid {pid}", fill="black", font=font)
        for column, record in enumerate(records):
            x = _MARGIN + column * (width + _GAP)
            draw.text((x, y), f"camera {record.camid}", fill="black", font=font)
            tile = _tile(record.path)
            if around := frame(record):
                tile = ImageOps.expand(tile, border=_BORDER, fill=around.colour)
            inset = (tile.width - width) // 2
            sheet.paste(tile, (x - inset, y + _LABEL - inset))
    with atomic_path(path) as temporary:
        sheet.save(temporary, format="PNG")
    return path


def _head(title: str, frames: Sequence[Frame | None]) -> Image.Image:
    """Return the lines above the rows: the title, and what each frame means."""
    font = ImageFont.load_default(size=_TEXT)
    # A dictionary keeps the order in which the frames first appear.
    legend = list(dict.fromkeys(frame for frame in frames if frame))
    ends = [_GAP]
    for frame in legend:
        ends.append(ends[-1] + _TEXT + _GAP + math.ceil(font.getlength(frame.meaning)) + 3 * _GAP)
    lines = bool(title) + bool(legend)
    wide = max(ends[-1], math.ceil(font.getlength(title)) + 2 * _GAP)
    head = Image.new("RGB", (wide, _GAP + lines * (_LABEL + _GAP)), "white")
    draw = ImageDraw.Draw(head)
    draw.text((_GAP, _GAP), title, fill="black", font=font)
    y = head.height - _LABEL - _GAP
    for x, frame in zip(ends, legend, strict=False):
        square = (x, y + 2, x + _TEXT - 1, y + _TEXT + 1)
        draw.rectangle(square, outline=frame.colour, width=_BORDER)
        draw.text((x + _TEXT + _GAP, y), frame.meaning, fill="black", font=font)
    return head


def _tile(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            return as_rgb(image).resize(_TILE, Image.Resampling.BICUBIC)
    except (OSError, SyntaxError, ValueError) as error:
        raise BenchboxError(
            f"{path}: not an image that can be read ({error}). Replace the file or make the "
            "dataset again."
        ) from error
