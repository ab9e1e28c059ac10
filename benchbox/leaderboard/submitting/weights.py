"""Weights from strangers: read as safetensors only, whole, and known by their digest."""

from pathlib import Path

from benchbox.errors import BenchboxError
from benchbox.files.digests import digest_of_file
from benchbox.files.printable import printable
from benchbox.results.stored_weights import load_model

MOST_BYTES = 4_000_000_000


def checked_digest(path: Path, *, backbone: str, image_size: tuple[int, int]) -> str:
    """Return the SHA-256 of a weights file after loading it into its backbone.

    Nothing in the file is run: it is a table of numbers, whose names, shapes, types and values
    are compared with the model's.

    Args:
        path: of the file.
        backbone: whose weights they are said to be.
        image_size: (height, width) the model is fed with.

    Raises:
        BenchboxError: it is no regular file, too large, no weights of this backbone, damaged, or
            holds values that are not finite.
    """
    where = printable(path)
    if path.is_symlink() or not path.is_file():
        raise BenchboxError(f"{where}: no such weights file (a link is none).")
    if path.stat().st_size > MOST_BYTES:
        raise BenchboxError(f"{where}: larger than {MOST_BYTES:,} bytes, the most that is read.")
    load_model(path, backbone=backbone, image_size=image_size)
    return digest_of_file(path)
