"""The digest of a dataset: names and contents, the same on every machine."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from benchbox.data.decoding import as_rgb
from benchbox.files.digests import digest_of_file


def pixels_digest(pixels: np.ndarray) -> str:
    """Return the SHA-256 of an (H, W, 3) uint8 image, its size included."""
    height, width, _ = pixels.shape
    header = f"{width}x{height}:".encode()
    return hashlib.sha256(header + np.ascontiguousarray(pixels).tobytes()).hexdigest()


def image_digest(path: Path) -> str:
    """Return the digest of one image file.

    A PNG is hashed by its pixels: it is lossless, and compressors differ between machines.
    Anything else (JPEG decoders differ) is hashed by its bytes.
    """
    if path.suffix.lower() == ".png":
        with Image.open(path) as image:
            return pixels_digest(np.asarray(as_rgb(image)))
    return digest_of_file(path)


def dataset_digest(images: Iterable[tuple[str, str]]) -> str:
    """Return the SHA-256 over ``(key, image digest)`` pairs, in the order of their keys."""
    lines = (f"{key} {digest}\n" for key, digest in sorted(images))
    return hashlib.sha256("".join(lines).encode()).hexdigest()
