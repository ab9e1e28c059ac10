"""Reads tensors and trained models from files that a stranger may have made."""

from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from benchbox.errors import BenchboxError
from benchbox.files.printable import printable
from benchbox.models.registry import build_model
from benchbox.models.reid import ReidModel
from benchbox.models.weights import load_weights

MOST_BYTES = 4_000_000_000
"""Bytes of a weights file."""

MOST_CLASSES = 100_000
"""Training identities; an empty matrix may claim any number, and a model of it is built."""


def load_tensors(file: Path) -> dict[str, Tensor]:
    """Return what a safetensors file holds.

    Raises:
        BenchboxError: it is missing, damaged or none.
    """
    try:
        return load_file(file)
    except _FAULTS as error:
        raise BenchboxError(
            f"{printable(file)}: damaged, or not a safetensors file ({_reason(error)}); run the "
            "grid again."
        ) from error


def load_model(file: Path, *, backbone: str, image_size: tuple[int, int]) -> ReidModel:
    """Return a model with the weights of a file, in train mode.

    The backbone is the caller's; the file says only how many identities it was trained on. Nothing
    in it is run: it is a table of numbers, whose names, shapes, types and values are compared with
    the model's.

    Args:
        file: the weights.
        backbone: whose they are said to be.
        image_size: (height, width) the model is fed with.

    Raises:
        BenchboxError: the file is too large, no weights of this backbone, damaged, or holds values
            that are not finite.
    """
    classes, _ = classifier_shape(file)
    if file.stat().st_size > MOST_BYTES:
        raise BenchboxError(
            f"{printable(file)}: larger than {MOST_BYTES:,} bytes, the most that is read."
        )
    model = build_model(backbone, num_classes=classes, image_size=image_size)
    try:
        load_weights(model, file)
    except _FAULTS as error:
        raise BenchboxError(
            f"{printable(file)}: not the weights of this model ({_reason(error)})."
        ) from error
    return model


def require_loadable(path: Path, *, backbone: str, image_size: tuple[int, int]) -> None:
    """Check that a file that a user names holds weights of a backbone; see `load_model`.

    Raises:
        BenchboxError: it is no regular file, or `load_model` refuses it.
    """
    if path.is_symlink() or not path.is_file():
        raise BenchboxError(f"{printable(path)}: no such weights file (a link is none).")
    load_model(path, backbone=backbone, image_size=image_size)


def classifier_shape(file: Path) -> tuple[int, int]:
    """Return how many identities weights were trained on and how wide the embeddings are.

    Only the file's header is read, before a model of that size is built.

    Raises:
        BenchboxError: the file is no weights, or the numbers make no sense.
    """
    where = printable(file)
    try:
        with safe_open(file, framework="pt", device="cpu") as weights:
            shape = weights.get_slice("classifier.weight").get_shape()
    except _FAULTS as error:
        raise BenchboxError(
            f"{where}: not the weights of a benchbox model in the format safetensors "
            f"({_reason(error)})."
        ) from error
    if len(shape) != 2 or not 1 <= shape[0] <= MOST_CLASSES or shape[1] < 1:
        raise BenchboxError(
            f"{where}: classifier.weight: shape {tuple(shape)}, expected one row for each of 1 to "
            f"{MOST_CLASSES:,} identities."
        )
    return int(shape[0]), int(shape[1])


_FAULTS = (SafetensorError, OSError, RuntimeError, ValueError, TypeError, OverflowError)
"""Deep metadata and unusual number types fail in many ways; a RecursionError is a RuntimeError."""


def _reason(error: Exception) -> str:
    lines = str(error).splitlines()
    return printable(lines[0][:200]) if lines else type(error).__name__
