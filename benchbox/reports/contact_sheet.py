"""A contact sheet: what a dataset looks like, identity by identity."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from benchbox.data.protocol import ImageRecord
from benchbox.errors import BenchboxError
from benchbox.files import atomic_path

_TILE = (96, 192)  # width and height of an image on the sheet, pixels
_GAP = 8
_LABEL = 20
_MARGIN = 92  # room for the identities' numbers
_TEXT = 15


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
    image_paths_by_identity: Mapping[int, Sequence[ImageRecord]], path: Path, *, title: str = ""
) -> Path:
    """Write a sheet with a row per identity and an image per column, camera above each image.

    Args:
        image_paths_by_identity: pid → its images, in the order of the row.
        path: the PNG to write.
        title: a line above the sheet, such as the dataset's name.

    Returns:
        ``path``.

    Raises:
        BenchboxError: there is nothing to show, an image cannot be read, or ``path`` not written.
    """
    columns = max((len(records) for records in image_paths_by_identity.values()), default=0)
    if not columns:
        raise BenchboxError(f"{path}: no images for a contact sheet. Is the dataset empty?")
    width, height = _TILE
    top = _GAP + (_LABEL + _GAP if title else 0)
    row_height = _LABEL + height + _GAP
    size = (
        _MARGIN + columns * (width + _GAP),
        top + len(image_paths_by_identity) * row_height,
    )
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=_TEXT)
    if title:
        draw.text((_GAP, _GAP), title, fill="black", font=font)
    for row, (pid, records) in enumerate(image_paths_by_identity.items()):
        y = top + row * row_height
        draw.text((_GAP, y + _LABEL + height // 2 - _TEXT), f"pid {pid}", fill="black", font=font)
        for column, record in enumerate(records):
            x = _MARGIN + column * (width + _GAP)
            draw.text((x, y), f"camera {record.camid}", fill="black", font=font)
            sheet.paste(_tile(record.path), (x, y + _LABEL))
    with atomic_path(path) as temporary:
        sheet.save(temporary, format="PNG")
    return path


def _tile(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            return image.convert("RGB").resize(_TILE, Image.Resampling.BICUBIC)
    except (OSError, SyntaxError) as error:
        raise BenchboxError(
            f"{path}: not an image that can be read ({error}). Replace the file or make the "
            "dataset again."
        ) from error
