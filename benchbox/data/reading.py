"""Read a dataset, strict about every file."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from benchbox.data.decoding import ImageError, in_threads, strict_decoding
from benchbox.data.digest import dataset_digest, image_digest
from benchbox.data.packed_records import PackedRecords
from benchbox.data.protocol import ImageRecord, ReidDataset
from benchbox.data.scanning import QUERY, TRAIN, Scan, scan_dataset
from benchbox.data.suggesting import suggestion
from benchbox.errors import BenchboxError
from benchbox.files.printable import printable
from benchbox.files.progress import Progress, silent


def read_dataset(
    root: Path, *, name: str = "", threads: int = 4, progress: Progress = silent
) -> ReidDataset:
    """Return the dataset under ``root``, which follows Market-1501's layout and one naming.

    Junk (pid -1) is left out of the gallery and counted; distractors (pid 0) stay. Every listed
    file is read once for the digest.

    Args:
        root: the folder that holds ``bounding_box_train``, ``query`` and ``bounding_box_test``.
        name: the dataset's name in results; the folder's own by default.
        threads: how many files are hashed at once.
        progress: told after each file.

    Raises:
        BenchboxError: a folder is missing or empty, a file is misnamed, empty or unreadable,
            a query is also in the gallery, or train and test share an identity.
    """
    return read_scanned(scan_dataset(root), name=name, threads=threads, progress=progress)


def read_scanned(
    scan: Scan, *, name: str = "", threads: int = 4, progress: Progress = silent
) -> ReidDataset:
    """Return the dataset that a scan found, whatever its layout; see `read_dataset`.

    Raises:
        BenchboxError: the scan found a fault, or a file is empty or unreadable.
    """
    require_sound(scan)
    train, query, gallery = scan.records[TRAIN], scan.records[QUERY], scan.gallery
    listed = (*train, *query, *gallery)
    with strict_decoding():
        digests = list(
            in_threads(_digest, listed, threads=threads, doing="hashing", progress=progress)
        )
    contents = {record.key: digest for record, digest in zip(listed, digests, strict=True)}
    return ReidDataset(
        name=name or scan.root.resolve().name,
        root=scan.root,
        train=train,
        query=query,
        gallery=PackedRecords(gallery),
        junk=sum(map(len, scan.records.values())) - len(listed),
        digest=scanned_digest(scan, contents),
        same_camera=scan.same_camera,
    )


def scanned_digest(scan: Scan, contents: Mapping[str, str]) -> str:
    """Return the digest of a dataset.

    Args:
        scan: its lists.
        contents: key of each listed image → digest of its file.
    """
    listed = (*scan.records[TRAIN], *scan.records[QUERY], *scan.gallery)
    digest = dataset_digest((said, contents[key]) for key, said in _said(listed, scan))
    if scan.same_camera == "keep":
        return hashlib.sha256(f"same_camera=keep/{digest}".encode()).hexdigest()
    return digest


def _said(records: Iterable[ImageRecord], scan: Scan) -> Iterable[tuple[str, str]]:
    """Yield (key, key with everything that determines a number) of each image."""
    for record in records:
        labels = "" if scan.labels_in_keys else f" {record.pid} {record.camid} {record.view}"
        yield record.key, record.key + labels


def require_sound(scan: Scan) -> None:
    """Check that a scan found no fault.

    Raises:
        BenchboxError: it did; the first ones are named, and the pattern that the names fit.
    """
    where = printable(scan.root)
    misnamed = any(problem.what.startswith("misnamed") for problem in scan.problems)
    hint = suggestion(scan.root) if scan.missing or misnamed else ""
    if scan.missing:
        raise BenchboxError(
            f"{where}: not a complete ReID dataset: "
            + ", ".join(f"{part} {state}" for part, state in scan.missing.items())
            + f". Expected {scan.expected}. "
            + (hint or "Unpack the archive again, or point to the folder inside.")
        )
    if scan.problems:
        first = "; ".join(str(problem) for problem in scan.problems[:3])
        rest = f"; and {len(scan.problems) - 3} more" if len(scan.problems) > 3 else ""
        raise BenchboxError(
            f"{where}: {len(scan.problems)} offending file(s): {first}{rest}. Remove "
            f"or restore them (`benchbox data check` lists every one). {hint}".rstrip()
        )


def _digest(record: ImageRecord) -> str:
    try:
        if record.path.stat().st_size == 0:
            raise ImageError(record.path, "is empty (0 bytes)")
        return image_digest(record.path)
    except ImageError:
        raise
    # Hashing a PNG decodes it, and Pillow raises anything on damaged data.
    except Exception as error:
        detail = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(record.path, f"cannot be read ({detail})") from error
