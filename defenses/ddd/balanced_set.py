"""The balanced set on disk: originals, generated images marked by name, list, manifest, sheet."""

import csv
import io
import os
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchbox.data.contact_sheet import Frame, contact_sheet, pick_identities
from benchbox.data.digest import dataset_digest, image_digest
from benchbox.data.naming import NAME_EXAMPLES, ImageName, format_name, parse_name
from benchbox.data.protocol import ImageRecord
from benchbox.data.scanning import TRAIN
from benchbox.errors import BenchboxError
from benchbox.files.atomic import cannot_write, write_json, write_text

Reason = Literal["fill", "camera"]
"""Why an image is made: ``fill`` for Eq. 1, ``camera`` for Eq. 2."""

SEQUENCE = 99
"""Market naming: the sequence of every generated image (Market-1501's own are 1 to 6)."""

FIRST_FRAME = 9_000_000
"""Duke naming: generated images have frames from here on (DukeMTMC-reID's own are far below)."""
_ORIGINAL = Frame("#009E73", "original")
_GENERATED = Frame("#E69F00", "generated")
_LIST, _MANIFEST, _SHEET = "synthetic.csv", "balanced.json", "contact_sheet.png"
_COLUMNS = ["file", "pid", "camid", "reason"]


@dataclass(frozen=True, slots=True, order=True)
class Synthetic:
    """An image to make.

    Attributes:
        pid: the identity it is to show.
        camid: the camera it is to look like.
        number: its number, from 1, among the images made of this identity and camera.
        reason: why it is made, one of :data:`Reason`.
    """

    pid: int
    camid: int
    number: int
    reason: Reason


def is_generated(file_name: str) -> bool:
    """Return whether a file name is marked as generated; a name of no convention is not."""
    name = parse_name(file_name)
    if name is None:
        return False
    return name.sequence == SEQUENCE or (name.naming == "duke" and name.frame >= FIRST_FRAME)


def generated_name(synthetic: Synthetic, *, like: str) -> str:
    """Return the file name of a generated image in the naming of the file name ``like``.

    ``0002_c1s99_000003_00.png`` or ``0002_c1_f9000003.png`` for the third image.
    """
    pid, camid, number = synthetic.pid, synthetic.camid, synthetic.number
    original = parse_name(like)
    if original is not None and original.naming == "duke":
        name = ImageName(naming="duke", pid=pid, camid=camid, frame=FIRST_FRAME + number)
    else:
        name = ImageName(
            naming="market", pid=pid, camid=camid, frame=number, sequence=SEQUENCE, box=0
        )
    return format_name(name, extension="png")


def require_originals(records: Sequence[ImageRecord]) -> None:
    """Check that every image has a dataset's name and none is itself generated.

    Raises:
        BenchboxError: names the first file at fault.
    """
    for record in records:
        if parse_name(record.path.name) is None:
            raise BenchboxError(
                f"{record.path}: data balancing needs names like {NAME_EXAMPLES['market']} or "
                f"{NAME_EXAMPLES['duke']}, because it marks its own images by theirs."
            )
        if is_generated(record.path.name):
            raise BenchboxError(
                f"{record.path}: named as a generated image (sequence {SEQUENCE}, or a frame from "
                f"{FIRST_FRAME} on). This set is balanced already: give the original one."
            )


def write_balanced_set(
    records: Sequence[ImageRecord],
    made: Mapping[Synthetic, Path],
    folder: Path,
    *,
    settings: Mapping[str, Any],
) -> None:
    """Write originals and generated images into ``folder``, in Market-1501's layout.

    ``bounding_box_train/`` holds both, hard-linked where the file system can; ``synthetic.csv``
    lists the generated ones; ``balanced.json`` has the counts before and after, the settings and
    the set's digest; ``contact_sheet.png`` shows some identities.

    Args:
        records: the training images.
        made: each generated image, and the PNG it is in; the file's name is kept.
        folder: to write into.
        settings: all that determined the set, as JSON.

    Raises:
        BenchboxError: a file cannot be written.
    """
    originals = [_bring(record, record.path, folder) for record in records]
    generated = [
        _bring(ImageRecord(path, s.pid, s.camid), path, folder) for s, path in made.items()
    ]
    _write_list(made, folder / _LIST)
    write_json(
        folder / _MANIFEST,
        {
            "settings": dict(settings),
            "digest": dataset_digest(
                (record.key, image_digest(record.path)) for record in (*originals, *generated)
            ),
            "before": _counts(originals),
            "after": _counts([*originals, *generated]),
            "generated": dict(Counter(synthetic.reason for synthetic in made)),
        },
    )
    _write_sheet(originals, generated, folder / _SHEET)


def read_generated(folder: Path) -> list[ImageRecord]:
    """Return the generated images of a balanced set, as ``synthetic.csv`` lists them.

    Raises:
        BenchboxError: the list is missing or damaged.
    """
    path = folder / _LIST
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            return [
                ImageRecord(folder / TRAIN / row["file"], int(row["pid"]), int(row["camid"]))
                for row in csv.DictReader(stream)
            ]
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise BenchboxError(
            f"{path}: not the list of a balanced set ({error}). Remove the folder and run again."
        ) from error


def _bring(record: ImageRecord, source: Path, folder: Path) -> ImageRecord:
    """Link or copy an image into the set and return its record there."""
    target = folder / TRAIN / source.name
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            # Not the link itself: a dataset's files may be symbolic links, relative ones too.
            os.link(source.resolve(), target)
        except OSError:
            shutil.copyfile(source, target)
    except OSError as error:
        raise cannot_write(target, error) from error
    return ImageRecord(target, record.pid, record.camid)


def _write_list(made: Mapping[Synthetic, Path], path: Path) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for synthetic, image in made.items():
        writer.writerow([image.name, synthetic.pid, synthetic.camid, synthetic.reason])
    write_text(path, text.getvalue())


def _counts(records: Sequence[ImageRecord]) -> dict[str, Any]:
    """Return how many images there are, in all and per identity and camera."""
    per: dict[str, dict[str, int]] = {}
    for (pid, camid), number in sorted(Counter((r.pid, r.camid) for r in records).items()):
        per.setdefault(str(pid), {})[str(camid)] = number
    return {"images": len(records), "identities": per}


def _write_sheet(
    originals: Sequence[ImageRecord], generated: Sequence[ImageRecord], path: Path
) -> None:
    """Draw identities that got images (all, if none did): originals, then generated ones."""
    pids = {record.pid for record in generated} or {record.pid for record in originals}
    rows = pick_identities([record for record in originals if record.pid in pids], images=4)
    more = pick_identities(generated, images=6)
    contact_sheet(
        {pid: [*records, *more.get(pid, [])] for pid, records in rows.items()},
        path,
        title=f"{len(originals)} original and {len(generated)} generated training images",
        frame=lambda record: _GENERATED if is_generated(record.path.name) else _ORIGINAL,
    )
