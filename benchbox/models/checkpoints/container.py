"""What a weights file is, told by its bytes; what is none is refused before anything reads it."""

import stat
import tarfile
import zipfile
from pathlib import Path
from typing import Literal

from benchbox.errors import BenchboxError
from benchbox.files.printable import printable

Container = Literal["safetensors", "torch zip", "torch before 1.6"]
"""The three formats that are read."""

LARGEST = 8 * 2**30
"""Bytes of a file, and of what it unpacks to, that are read: a ViT-L with its Adam state fits."""

RESAVE = (
    "Where you trust it, load it with the code that wrote it and save the tensors alone: "
    'torch.save(model.state_dict(), "clean.pth")'
)
"""What to do about a file that holds more than tensors."""

_TORCH_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""The pickled magic number that torch wrote first before version 1.6."""

_LONGEST_HEADER = 100_000_000
"""Bytes of a header that the safetensors format allows."""


def container_of(path: Path) -> Container:
    """Return the format of a weights file.

    Raises:
        BenchboxError: there is no such file, it is too large, cut off, or something else.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise BenchboxError(f"{printable(path)}: not a file. Name the weights file itself.")
        if status.st_size > LARGEST:
            raise _too_large(path, status.st_size)
        with path.open("rb") as stream:
            head = stream.read(512)
    except OSError as error:
        raise BenchboxError(f"{printable(path)}: cannot be read ({error.strerror}).") from error
    except ValueError as error:  # a NUL in the name
        raise BenchboxError(f"{printable(path)}: cannot be read ({error}).") from error
    if head.startswith(b"PK"):
        return _zip(path)
    if head.startswith(_TORCH_LEGACY):
        return "torch before 1.6"
    if _is_safetensors(head):
        return "safetensors"
    raise BenchboxError(f"{printable(path)}: {_told(path, head)}")


def _is_safetensors(head: bytes) -> bool:
    return int.from_bytes(head[:8], "little") <= _LONGEST_HEADER and head[8:9] == b"{"


def _zip(path: Path) -> Container:
    """Tell torch's zip from TorchScript's, from any other and from a part of one."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise BenchboxError(
            f"{printable(path)}: a zip archive that was cut off or damaged. Fetch it again, and "
            "compare its size with the original's."
        ) from error
    if (unpacked := sum(member.file_size for member in members)) > LARGEST:
        raise _too_large(path, unpacked)
    # Everything torch writes lies in one folder, whose name is the file's.
    inside = {member.filename.partition("/")[2] for member in members}
    if "constants.pkl" in inside or any(name.startswith("code/") for name in inside):
        raise BenchboxError(
            f"{printable(path)}: a TorchScript archive, which holds code. Save the tensors alone "
            'where it was made: torch.save(model.state_dict(), "clean.pth").'
        )
    if "data.pkl" not in inside:
        raise BenchboxError(
            f"{printable(path)}: a zip archive that torch.save did not write. Unpack it, and name "
            "the weights file that is in it."
        )
    return "torch zip"


def _told(path: Path, head: bytes) -> str:
    """Return what a file is that holds no weights we read, and what to do about it."""
    start = head.lstrip().lower()
    if not head:
        return "an empty file. Fetch it again."
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        return (
            "a web page, not weights: the link led to a page or the download wanted a login. "
            "Fetch the file in a browser."
        )
    if start.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS, not the weights themselves. Run git lfs pull where it lies."
    if head.startswith(b"\x80"):
        return f"a plain pickle, which is not loaded because it could run code. {RESAVE}."
    if tarfile.is_tarfile(path):
        return f"a tar archive: unpack it; torch's own of before 2017 is not read. {RESAVE}."
    return (
        "damaged, or not a weights file: neither safetensors nor what torch.save writes. "
        "Fetch it again."
    )


def _too_large(path: Path, size: int) -> BenchboxError:
    return BenchboxError(
        f"{printable(path)}: {size / 2**30:.1f} GiB, {LARGEST // 2**30} GiB at most are read. "
        f"{RESAVE}."
    )
