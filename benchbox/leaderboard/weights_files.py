"""Weights from strangers: read as safetensors only, whole, and known by their digest."""

from pathlib import Path

from safetensors import SafetensorError, safe_open

from benchbox.data.naming import printable
from benchbox.errors import BenchboxError
from benchbox.files import digest_of_file
from benchbox.models.registry import build_model
from benchbox.models.weights import load_weights

MOST_BYTES = 4_000_000_000
MOST_CLASSES = 100_000
"""Training identities; an empty matrix may claim any number, and a model of it is built."""


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
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            shape = file.get_slice("classifier.weight").get_shape()
    except (SafetensorError, OSError) as error:
        reason = printable(str(error).splitlines()[0][:200]) if str(error) else "unreadable"
        raise BenchboxError(
            f"{where}: not the weights of a benchbox model in the format safetensors ({reason})."
        ) from error
    if len(shape) != 2 or not 1 <= shape[0] <= MOST_CLASSES:
        raise BenchboxError(
            f"{where}: classifier.weight: shape {tuple(shape)}, expected one row for each of 1 to "
            f"{MOST_CLASSES:,} identities."
        )
    model = build_model(backbone, num_classes=shape[0], image_size=image_size)
    load_weights(model, path)
    return digest_of_file(path)
