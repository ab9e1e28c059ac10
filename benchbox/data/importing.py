"""Write a manifest from any dataset that can be read, with its identities' own names."""

import csv
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchbox.data.holding_out import hold_out
from benchbox.data.layouts.manifest import COLUMNS
from benchbox.data.protocol import ImageRecord, ReidDataset
from benchbox.data.reading import require_sound
from benchbox.data.scanning import GALLERY, QUERY, SPLITS, TRAIN, Scan
from benchbox.errors import BenchboxError
from benchbox.files.atomic import write_text


def write_manifest(
    scan: Scan, out: Path, *, test_share: float | None = None, seed: int = 0
) -> dict[str, int]:
    """Write the CSV manifest of a dataset; its images stay where they are.

    Args:
        scan: the dataset by its names.
        out: the file to write; its paths are seen from its folder.
        test_share: the share of training identities that become query and gallery, for a dataset
            that has none; see `hold_out`.
        seed: of that division.

    Returns:
        split → how many images.

    Raises:
        BenchboxError: the scan found a fault, the dataset has a test already, or ``out`` is no
            .csv or cannot be written.
    """
    require_sound(scan)
    if out.suffix.lower() != ".csv":
        raise BenchboxError(f"{out}: expected a file name that ends in .csv.")
    records = scan.records if test_share is None else _divided(scan, share=test_share, seed=seed)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    viewed = any(record.view is not None for listed in records.values() for record in listed)
    writer.writerow([*COLUMNS, *(["view"] if viewed else [])])
    for split, folder in SPLITS.items():
        writer.writerows(_cells(records[folder], split, scan, out, viewed=viewed))
    write_text(out, text.getvalue())
    return {split: len(records[folder]) for split, folder in SPLITS.items()}


def _divided(scan: Scan, *, share: float, seed: int) -> dict[str, Sequence[ImageRecord]]:
    """Return the splits where some of the training identities become the test."""
    records = scan.records
    if records[QUERY] or records[GALLERY]:
        raise BenchboxError(f"{scan.root}: has a test already; leave --test-share out.")
    whole = ReidDataset(
        name=str(scan.root),
        root=scan.root,
        train=records[TRAIN],
        query=(),
        gallery=(),
        junk=0,
        digest="",
        same_camera=scan.same_camera,
    )
    divided = hold_out(whole, share=share, seed=seed)
    return {TRAIN: divided.train, QUERY: divided.query, GALLERY: divided.gallery}


def _cells(
    records: Iterable[ImageRecord], split: str, scan: Scan, out: Path, *, viewed: bool
) -> Iterable[list[str]]:
    folder = out.absolute().parent
    for record in records:
        path = Path(os.path.relpath(record.path.absolute(), folder)).as_posix()
        pid = scan.identities.get(record.pid, str(record.pid))
        camid = scan.cameras.get(record.camid, str(record.camid))
        view = [] if not viewed else ["" if record.view is None else str(record.view)]
        yield [path, pid, camid, split, *view]
