"""What a number must carry: versions, commit, device, datasets, grid."""

import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from benchbox.data.protocol import ImageRecord, ReidDataset

_PACKAGES = (
    "benchbox-reid",
    "torch",
    "torchvision",
    "timm",
    "diffusers",
    "numpy",
    "pillow",
    "safetensors",
)


def now() -> str:
    """Return the time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that determine numbers."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def git_state() -> dict[str, Any]:
    """Return commit and whether the tree was dirty; nulls when benchbox is not in a checkout."""
    home = Path(__file__).resolve().parents[2]

    def git(*words: str) -> str | None:
        try:
            done = subprocess.run(  # noqa: S603
                ["git", "-C", str(home), *words],  # noqa: S607
                capture_output=True,
                text=True,
                timeout=20,
                check=True,
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip()

    # A site-packages folder inside somebody's checkout is not ours: ask for this very file.
    if git("ls-files", "--error-unmatch", str(Path(__file__).resolve())) is None:
        return {"commit": None, "dirty": None}
    changes = git("status", "--porcelain", "--untracked-files=no")
    return {
        "commit": git("rev-parse", "HEAD"),
        "dirty": bool(changes) if changes is not None else None,
    }


def device_name(device: str) -> str:
    """Return the device with its model, such as ``cpu (AMD EPYC)``."""
    if device.startswith("cuda"):
        if not torch.cuda.is_available():
            return f"{device} (of the cluster's nodes)"
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"{device} ({_processor()})"


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def without_home(path: Path) -> str:
    """Return a path with ``~`` for the home folder: run records are published."""
    path = path.absolute()
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


def describe(dataset: ReidDataset) -> dict[str, Any]:
    """Return a dataset's digest and counts as run.json records them."""

    def counts(records: Sequence[ImageRecord]) -> dict[str, int]:
        return {
            "images": len(records),
            "ids": len({r.pid for r in records if r.pid > 0}),
            "cameras": len({r.camid for r in records}),
        }

    return {
        "digest": dataset.digest,
        "root": without_home(dataset.root),
        "junk": dataset.junk,
        **{split: counts(getattr(dataset, split)) for split in ("train", "query", "gallery")},
    }
