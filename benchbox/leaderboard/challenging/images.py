"""Reads anyone's adversarial queries: an array, safetensors, or a folder of PNGs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from benchbox.data.decoding import decode_image, strict_decoding
from benchbox.errors import BenchboxError
from benchbox.evaluation.validity import ROUNDING
from benchbox.files.printable import printable

_TENSOR = "images"
"""The tensor of a safetensors file, named as in the files of a run's own adversarial queries."""

_DEPTH, _COLOUR = 24, 25
"""Where a PNG's header has the bits of a channel and the kind of its colours."""

_RGB = 2


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What adversarial queries have to be.

    Attributes:
        keys: (Q) of the clean queries, in the dataset's order.
        size: (height, width) in pixels.
        dataset: the digest of the dataset.
        entry: the digest of the entry.
    """

    keys: Sequence[str]
    size: tuple[int, int]
    dataset: str
    entry: str

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(Q, 3, H, W)."""
        return (len(self.keys), 3, *self.size)

    @property
    def pngs(self) -> list[str]:
        """The files of a folder in the queries' order: below it, as the query images are named."""
        below = [PurePosixPath(*PurePosixPath(key).parts[1:]) for key in self.keys]
        return [str(path.with_suffix(".png")) for path in below]


def read_images(place: Path, expected: Expected) -> Tensor:
    """Return adversarial queries as (Q, 3, H, W) float32 in [0, 1], in the dataset's order.

    An array (``.npy``) or a safetensors file (its tensor ``images``) is uint8, or float in [0, 1].
    The metadata of a safetensors file may say for what it was made, by the digests ``dataset`` and
    ``entry``; they have to be right then. The PNGs of a folder are named as the query images are.

    Raises:
        BenchboxError: they cannot be read, have another shape, leave [0, 1], are not finite, are
            not of 8 bits, or say that they are of another dataset or entry.
    """
    where = printable(place)
    if place.is_dir():
        return _unit(_from_folder(place, expected), where=where)
    if not place.is_file():
        raise BenchboxError(f"{where}: no such file or folder.")
    match place.suffix:
        case ".npy":
            return _unit(_from_array(place, expected), where=where)
        case ".safetensors":
            return _unit(_from_safetensors(place, expected), where=where)
    raise BenchboxError(f"{where}: expected a .npy, a .safetensors or a folder of PNGs.")


def require_near(images: Tensor, clean: Tensor, *, eps: float, where: str) -> None:
    """Check that every adversarial query lies in the ball of its clean one.

    Args:
        images: (Q, 3, H, W) in [0, 1].
        clean: likewise.
        eps: radius of the L∞ ball, in [0, 1].
        where: the file, for messages.

    Raises:
        BenchboxError: one does not; where it lies in that of another query, that one is named.
    """
    moved = torch.stack([(a - c).abs().amax() for a, c in zip(images, clean, strict=True)])
    outside = (moved > eps + ROUNDING).nonzero().flatten().tolist()
    if not outside:
        return
    first = outside[0]
    says = f"{where}: query {first} lies {moved[first] * 255:.2f}/255 from its clean image"
    others = torch.stack([(images[first] - c).abs().amax() for c in clean])
    if bool((others <= eps + ROUNDING).any()):
        says += f", but in the ball of query {int(others.argmin())}: another order"
    raise BenchboxError(
        f"{says}; the budget is {eps * 255:g}/255 ({len(outside)} of {len(clean)} leave it). "
        "Expected this entry's queries, in the dataset's order."
    )


def _from_array(file: Path, expected: Expected) -> Tensor:
    try:
        # Mapped, so that nothing but the header is read before the shape is known to fit.
        array = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise BenchboxError(f"{printable(file)}: is no array ({printable(str(error))}).") from error
    if array.dtype not in (np.uint8, np.float32, np.float64):
        raise _other_type(file, str(array.dtype))
    _require_shape(file, array.shape, expected)
    return torch.from_numpy(np.array(array))


def _from_safetensors(file: Path, expected: Expected) -> Tensor:
    where = printable(file)
    try:
        with safe_open(file, framework="pt", device="cpu") as stored:
            stated = stored.metadata() or {}
            if _TENSOR not in stored.keys():  # noqa: SIM118  it is no dictionary
                raise BenchboxError(f"{where}: has no tensor {_TENSOR!r}.")
            _require_shape(file, tuple(stored.get_slice(_TENSOR).get_shape()), expected)
            images: Tensor = stored.get_tensor(_TENSOR)
    except (OSError, SafetensorError) as error:
        raise BenchboxError(
            f"{where}: is no safetensors file ({printable(str(error))})."
        ) from error
    for key, digest in (("dataset", expected.dataset), ("entry", expected.entry)):
        if stated.get(key, digest) != digest:
            raise BenchboxError(
                f"{where}: {key}: made for {printable(stated[key][:12])}…, this one has "
                f"{digest[:12]}…. Expected queries that were made for this {key}."
            )
    if images.dtype not in (torch.uint8, torch.float32, torch.float64):
        raise _other_type(file, str(images.dtype).removeprefix("torch."))
    return images


def _from_folder(folder: Path, expected: Expected) -> Tensor:
    names = expected.pngs
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*.png")}
    where = printable(folder)
    if missing := [name for name in names if name not in there]:
        raise BenchboxError(
            f"{where}: {printable(missing[0])} is missing ({len(missing)} of {len(names)}). "
            "Expected a PNG for each query, named as the query image."
        )
    if more := sorted(there - set(names)):
        raise BenchboxError(f"{where}: {printable(more[0])} is of no query of this dataset.")
    with strict_decoding():
        return torch.stack([_decoded(folder / name, expected.size) for name in names])


def _decoded(file: Path, size: tuple[int, int]) -> Tensor:
    """Return (3, H, W) uint8 of a PNG; nothing is converted, which could move a pixel."""
    image, content = decode_image(file)
    if content[_DEPTH] != 8 or content[_COLOUR] != _RGB:
        raise BenchboxError(
            f"{printable(file)}: has {content[_DEPTH]} bits a channel or is not RGB. Expected "
            "8 bits of red, green and blue."
        )
    if (image.height, image.width) != size:
        raise BenchboxError(
            f"{printable(file)}: is {image.height} × {image.width}, the model takes "
            f"{size[0]} × {size[1]}."
        )
    return torch.from_numpy(np.array(image).transpose(2, 0, 1).copy())


def _require_shape(file: Path, shape: tuple[int, ...], expected: Expected) -> None:
    if tuple(shape) != expected.shape:
        raise BenchboxError(
            f"{printable(file)}: has the shape {tuple(shape)}, the queries have {expected.shape}: "
            "(queries, 3, height, width)."
        )


def _other_type(file: Path, dtype: str) -> BenchboxError:
    return BenchboxError(f"{printable(file)}: {dtype}; expected uint8, or float32 in [0, 1].")


def _unit(images: Tensor, *, where: str) -> Tensor:
    """Return images as float32, after the check of their range."""
    if images.dtype == torch.uint8:
        return images.float().div_(255)
    if not bool(images.isfinite().all()):
        raise BenchboxError(f"{where}: a pixel is not finite.")
    if not bool(((images >= 0) & (images <= 1)).all()):
        raise BenchboxError(f"{where}: a pixel is outside [0, 1].")
    return images.float()
