"""Decode image files strictly and in threads: a damaged file is an error, never a grey patch."""

import io
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from benchbox.errors import BenchboxError
from benchbox.files.printable import printable
from benchbox.files.progress import Progress, silent

MAX_PIXELS = 50_000_000
"""A pedestrian crop has thousands of pixels; a file that claims more than this is hostile."""

_ORIENTATION = 0x0112
"""EXIF's tag of how a camera was held."""

AHEAD = 64
"""Files that are worked on while another one's result is in use."""

_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"

Item = TypeVar("Item")
Result = TypeVar("Result")


class ImageError(BenchboxError):
    """One image file cannot be used; ``what`` says why, without the file's name."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(
            f"{printable(path)}: {what}. Restore this file from the original archive "
            "(`benchbox data check` lists every such file)."
        )
        self.what = what


@contextmanager
def strict_decoding() -> Iterator[None]:
    """Make Pillow refuse truncated files, whatever another library has set it to."""
    before = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        with warnings.catch_warnings():
            # Our own limit below turns oversized files into problems; no second message.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


def decode_image(path: Path) -> tuple[Image.Image, bytes]:
    """Return the file's image, fully decoded by `as_rgb`, and the file's bytes.

    Call it inside :func:`strict_decoding`. A PNG's checksums are verified as well, because
    damage in the middle of its data can decode to wrong pixels without an error. (JPEG has no
    checksums: a flipped bit in its data may go unseen.)

    Raises:
        ImageError: the file is empty, truncated, no JPEG or PNG, implausibly large, or has
            transparent pixels.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ImageError(path, f"cannot be read ({error.strerror or error})") from error
    if not content:
        raise ImageError(path, "is empty (0 bytes)")
    try:
        image = _open(content)
        if image.width * image.height > MAX_PIXELS:
            raise ImageError(
                path, f"claims {image.width}x{image.height} pixels, too large for a person's crop"
            )
        if image.format == "PNG":
            if _PNG_END not in content:
                raise ImageError(path, "is truncated (the PNG's end is missing)")
            image.verify()
            image = _open(content)
        elif path.suffix.lower() == ".png":
            # Digests hash a .png by its pixels, which JPEG decoders do not agree on.
            raise ImageError(path, f"holds {image.format} data under a .png name")
        image.load()
        return as_rgb(image), content
    except ImageError:
        raise
    except TransparencyError as error:
        raise ImageError(path, str(error)) from error
    # Pillow's decoders raise anything on damaged data: OSError, SyntaxError, struct.error, ...
    except Exception as error:
        raise ImageError(path, _reason(error)) from error


class TransparencyError(ValueError):
    """An image has transparent pixels, whose colour is whatever a program left there."""


def as_rgb(image: Image.Image) -> Image.Image:
    """Return an image as a viewer shows it, in RGB of 8 bits a channel.

    Turned as its EXIF orientation says; grey, palette and CMYK converted by Pillow; 16-bit grey
    scaled by 1/257 (Pillow's own conversion would clip it to white).

    Raises:
        TransparencyError: some pixels are not opaque.
    """
    if image.getexif().get(_ORIENTATION, 1) != 1:
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        grey = (np.asarray(image).astype(np.int64) + 128) // 257
        return Image.fromarray(grey.clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data and not _opaque(image):
        raise TransparencyError("has transparent pixels: put it on a background first")
    return image.convert("RGB")


def _opaque(image: Image.Image) -> bool:
    return bool((np.asarray(image.convert("RGBA").getchannel("A")) == 255).all())


def _open(content: bytes) -> Image.Image:
    # Two formats only: Pillow's others include ones that start outside programs.
    return Image.open(io.BytesIO(content), formats=("JPEG", "PNG"))


def _reason(error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return "claims far too many pixels for a person's crop"
    if isinstance(error, UnidentifiedImageError):
        return "is not a JPEG or PNG image, or its header is damaged"
    detail = " ".join(str(error).split()) or type(error).__name__
    if "truncated" in detail.lower():
        return f"is truncated ({detail})"
    return f"cannot be decoded ({detail})"


def in_threads(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    threads: int,
    doing: str,
    ahead: int = AHEAD,
    progress: Progress = silent,
) -> Generator[Result, None, None]:
    """Yield ``work(item)`` for every item, in the items' order; the first failure is raised.

    Pillow and hashlib release the interpreter lock, so threads suffice. Whoever closes the
    iterator early does not wait for all that is ahead.

    Args:
        work: called with one item, in some thread.
        items: what to work on.
        threads: how many items are worked on at once.
        doing: the work in words, such as ``"decoding"``.
        ahead: how many results are made, or being made, while another one is in use.
        progress: told after each item.
    """
    waiting: deque[Future[Result]] = deque()
    remaining = iter(items)
    pool = ThreadPoolExecutor(max_workers=max(1, threads), thread_name_prefix=doing)
    try:
        for done in range(1, len(items) + 1):
            for item in islice(remaining, ahead + 1 - len(waiting)):
                waiting.append(pool.submit(work, item))
            yield waiting.popleft().result()
            progress(done / len(items), f"{doing} image {done} of {len(items)}")
    finally:
        pool.shutdown(cancel_futures=True)
