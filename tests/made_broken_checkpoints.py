"""Files that hold no tensors we may read, and the line that says so."""

import argparse
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from tests.made_checkpoints import saved

Write = Callable[[Path], Any]


class Code:
    """Writes a file where it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.marker}'",)


def truncated(path: Path) -> None:
    saved(path, {"weight": torch.ones(10_000)})
    path.write_bytes(path.read_bytes()[:20_000])


REFUSED: dict[str, tuple[Write, str]] = {
    "a pickle with code in it": (
        lambda path: saved(path, {"w": torch.ones(1), "x": Code(path.with_name("ran"))}),
        r"holds more than tensors \(posix.system\).*could run code.*torch.save\(model.state_dict",
    ),
    "the same, torch before 1.6": (
        lambda path: saved(path, Code(path.with_name("ran")), _use_new_zipfile_serialization=False),
        r"holds more than tensors \(posix.system\)",
    ),
    "a whole module": (
        lambda path: saved(path, nn.Linear(2, 2)),
        r"torch.nn.modules.linear.Linear.*state_dict\(\)",
    ),
    "argparse's namespace beside": (
        lambda path: saved(
            path, {"state_dict": {"w": torch.ones(1)}, "args": argparse.Namespace()}
        ),
        r"argparse.Namespace.*torch.save\(model.state_dict",
    ),
    "a NumPy array": (
        lambda path: saved(path, {"w": torch.ones(1), "x": np.ones(3)}),
        "numpy._core.multiarray._reconstruct|numpy.core.multiarray._reconstruct",
    ),
    "cut off": (truncated, "cut off or damaged. Fetch it again"),
    "cut off, safetensors": (
        lambda path: (
            save_file({"w": torch.ones(10_000)}, path),
            path.write_bytes(path.read_bytes()[:20_000]),
        ),
        "cut off or damaged",
    ),
    "a web page": (
        lambda path: path.write_text("\n<!DOCTYPE html><html>Sign in</html>"),
        "a web page, not weights",
    ),
    "a plain pickle": (
        lambda path: path.write_bytes(pickle.dumps({"w": [1.0]}, protocol=2)),
        "a plain pickle.*could run code",
    ),
    "TorchScript": (
        lambda path: torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2)), str(path)),
        r"a TorchScript archive, which holds code.*state_dict",
    ),
    "Git LFS": (
        lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
        "git lfs pull",
    ),
    "empty": (lambda path: path.write_bytes(b""), "an empty file"),
    "noise": (lambda path: path.write_bytes(b"\x07" * 4096), "not a weights file"),
    "not there": (lambda path: None, "cannot be read"),
    "a folder": (lambda path: path.mkdir(), "not a file"),
    "two models": (
        lambda path: saved(path, {"model": {"w": torch.ones(1)}, "net": {"w": torch.ones(1)}}),
        "two of them, under 'model' and 'net'",
    ),
    "no tensors": (lambda path: saved(path, {"epoch": 3, "lr": 0.1}), "found but 'epoch', 'lr'"),
    "pickle protocol 4": (
        lambda path: saved(path, {"w": torch.ones(1)}, pickle_protocol=4),
        r"without running code \(Unsupported operand 149\).*torch.save",
    ),
    "a list": (lambda path: saved(path, [torch.ones(1)]), "no state dict but a list"),
    "NaN": (lambda path: saved(path, {"w": torch.tensor([float("nan")])}), "'w' holds NaN"),
    "sparse": (lambda path: saved(path, {"w": torch.eye(3).to_sparse()}), "'w' is no dense tensor"),
    "complex": (lambda path: saved(path, {"w": torch.ones(1) * 1j}), "'w' is no dense tensor"),
    "a tensor that only claims its size": (
        lambda path: saved(path, {"w": torch.ones(1).expand(2**20, 2**20)}),
        "4096.0 GiB, 8 GiB at most",
    ),
}
"""Files that hold no tensors we may read."""
