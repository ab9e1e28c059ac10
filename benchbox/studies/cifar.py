"""CIFAR-10 from a folder of the user's: nothing is downloaded, nothing unknown is unpickled."""

from pathlib import Path

import torch

from benchbox.errors import BenchboxError
from benchbox.files.printable import printable
from benchbox.torchvision_import import ensure_torchvision
from benchbox.training.training_set import TrainingSet

ensure_torchvision()
# torchvision has to be importable first, hence the place; it carries no types.
from torchvision.datasets import CIFAR10  # type: ignore[import-untyped]  # noqa: E402
from torchvision.datasets.utils import check_integrity  # type: ignore[import-untyped]  # noqa: E402


def load_cifar(folder: Path) -> tuple[TrainingSet, TrainingSet]:
    """Return CIFAR-10's training (50,000) and test (10,000) images.

    Args:
        folder: holds ``cifar-10-batches-py``, as the archive unpacks it, or is that folder.

    Raises:
        BenchboxError: a file is missing or is not the published one, byte for byte.
    """
    folder = folder.expanduser()
    root = folder.parent if folder.resolve().name == CIFAR10.base_folder else folder
    _require_published(root)
    try:
        return _split(root, train=True), _split(root, train=False)
    except (OSError, RuntimeError) as error:
        raise BenchboxError(f"{printable(root)}: CIFAR-10 cannot be read ({error}).") from error


def _require_published(root: Path) -> None:
    """Compare every file with the MD5 of the published one, before any is opened as a pickle.

    The files are pickles, and unpickling runs whatever a pickle says. torchvision's CIFAR10
    checks the same sums itself before it unpickles (`_check_integrity` in its constructor, and
    again for ``batches.meta``); it is done here as well, so that this does not hang on another
    library's order of calls, and so that the message names the file. MD5 does not withstand
    collisions, but for a file somebody else published that takes a second preimage.
    """
    entries = [*CIFAR10.train_list, *CIFAR10.test_list]
    entries.append([CIFAR10.meta["filename"], CIFAR10.meta["md5"]])
    for name, md5 in entries:
        file = root / CIFAR10.base_folder / name
        try:
            fault = "" if check_integrity(file, md5) else "is not CIFAR-10's published file"
        except OSError as error:
            fault = f"cannot be read ({error.strerror})"
        if fault:
            fault = fault if file.is_file() else "is missing"
            raise BenchboxError(
                f"--cifar: {printable(file)} {fault}. Expected the folder into which "
                f"{CIFAR10.filename} (MD5 {CIFAR10.tgz_md5}) was unpacked; the study runs "
                "without --cifar, on a rendered stand-in."
            )


def _split(root: Path, *, train: bool) -> TrainingSet:
    read = CIFAR10(str(root), train=train, download=False)
    images = torch.from_numpy(read.data).permute(0, 3, 1, 2).contiguous()
    return TrainingSet(images, torch.tensor(read.targets))
