"""Read a dataset in Market-1501's folder layout, strict about every file."""

from pathlib import Path

from benchbox.data.decoding import ImageError, in_threads, strict_decoding
from benchbox.data.digest import dataset_digest, image_digest
from benchbox.data.protocol import JUNK_PID, ImageRecord, ReidDataset
from benchbox.data.scanning import EXPECTED_LAYOUT, SPLIT_FOLDERS, scan_dataset
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
    scan = scan_dataset(root)
    if scan.missing:
        raise BenchboxError(
            f"{printable(root)}: not a complete ReID dataset: "
            + ", ".join(f"{folder}/ {state}" for folder, state in scan.missing.items())
            + f". Expected {EXPECTED_LAYOUT}. "
            "Unpack the archive again, or point to the folder inside."
        )
    if scan.problems:
        first = "; ".join(str(problem) for problem in scan.problems[:3])
        rest = f"; and {len(scan.problems) - 3} more" if len(scan.problems) > 3 else ""
        raise BenchboxError(
            f"{printable(root)}: {len(scan.problems)} offending file(s): {first}{rest}. Remove "
            "or restore them (`benchbox data check` lists every one)."
        )
    train, query, everything = (scan.records[folder] for folder in SPLIT_FOLDERS)
    gallery = tuple(record for record in everything if record.pid != JUNK_PID)
    listed = (*train, *query, *gallery)
    with strict_decoding():
        digests = list(
            in_threads(_digest, listed, threads=threads, doing="hashing", progress=progress)
        )
    return ReidDataset(
        name=name or root.resolve().name,
        root=root,
        train=train,
        query=query,
        gallery=gallery,
        junk=len(everything) - len(gallery),
        digest=dataset_digest(
            (record.key, digest) for record, digest in zip(listed, digests, strict=True)
        ),
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
