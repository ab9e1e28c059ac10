"""Takes the tensors out of a checkpoint, whatever they are wrapped in, without running code."""

import re
import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from benchbox.errors import BenchboxError
from benchbox.files.printable import printable
from benchbox.models.checkpoints.container import LARGEST, RESAVE, Container, container_of

WRAPPERS = ("state_dict", "model_state_dict", "model", "net")
"""Keys under which training code keeps the state dict, beside its epoch and its optimizer."""

PREFIXES = ("module.", "_orig_mod.", "model.")
"""Put before every name by DataParallel, by torch.compile and by Lightning's ``self.model``."""

_NUMBERS = "?bBhHiIlLqQefd"
"""NumPy's one-letter codes of truth values, integers and floats."""

_LONGEST = 120
"""Characters of a stranger's name that a message repeats."""


@dataclass(frozen=True)
class Checkpoint:
    """The tensors of a file and how they lay in it.

    Attributes:
        path: of the file.
        container: its format.
        wrapper: the key that held the state dict; empty where it lay bare.
        beside: the keys beside it, such as ``epoch`` and ``optimizer``: they are not used.
        prefix: what stood before every name and was taken off; often empty.
        dtypes: names of the floating types in the file; all were made float32.
        tensors: by name, on the CPU, finite.
    """

    path: Path
    container: Container
    wrapper: str
    beside: tuple[str, ...]
    prefix: str
    dtypes: tuple[str, ...]
    tensors: Mapping[str, Tensor]


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint; nothing in it is run.

    Args:
        path: a safetensors file, or one that ``torch.save`` wrote, of any suffix. It holds tensors
            by name, bare or under one of `WRAPPERS`; tensors, numbers, texts and NumPy's numbers
            may stand beside them.

    Raises:
        BenchboxError: it cannot be read, holds other things than these, no tensors, or NaN.
    """
    container = container_of(path)
    content = _load_safetensors(path) if container == "safetensors" else _load_torch(path)
    state, wrapper, beside = _unwrapped(path, content)
    prefix = _common_prefix(state)
    _require_bounded(path, state)
    return Checkpoint(
        path=path,
        container=container,
        wrapper=wrapper,
        beside=beside,
        prefix=prefix,
        dtypes=tuple(sorted({_name(t.dtype) for t in state.values() if t.is_floating_point()})),
        tensors={
            key.removeprefix(prefix): _finite_float32(path, key, tensor)
            for key, tensor in state.items()
        },
    )


def _load_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise BenchboxError(
            f"{printable(path)}: a safetensors file that was cut off or damaged ({_told(error)}). "
            "Fetch it again."
        ) from error


def _load_torch(path: Path) -> Any:
    try:
        with _numbers_allowed(), warnings.catch_warnings():
            # What cannot be read is refused below, in one line.
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a hostile file makes torch raise anything
        # The parser allows nothing by default; its message names the first thing it met.
        if refused := re.search(r"(?:GLOBAL |<class ')([\w.]+)", str(error)):
            raise BenchboxError(
                f"{printable(path)}: holds more than tensors ({refused[1][:_LONGEST]}), which is "
                f"not loaded because it could run code. {RESAVE}."
            ) from error
        raise BenchboxError(
            f"{printable(path)}: damaged, or cannot be read without running code "
            f"({_told(error)}). Fetch it again. {RESAVE}."
        ) from error


def _numbers_allowed() -> AbstractContextManager[Any]:
    """Allow NumPy's scalars of numbers, for as long as one file is read.

    A scalar is stored as a call of ``scalar(dtype, bytes)``. Its module was renamed by NumPy 2,
    and files keep the name of the NumPy that wrote them.
    """
    scalar = cast("Callable[..., Any]", np.float64(0).__reduce__()[0])
    return torch.serialization.safe_globals(
        [
            (scalar, "numpy.core.multiarray.scalar"),
            (scalar, "numpy._core.multiarray.scalar"),
            np.dtype,
            *(type(np.dtype(code)) for code in _NUMBERS),
        ]
    )


def _unwrapped(path: Path, content: Any) -> tuple[dict[str, Tensor], str, tuple[str, ...]]:
    """Return the state dict in a file's content, the key it lay under, and the keys beside it."""
    if not isinstance(content, dict) or not content:
        raise BenchboxError(
            f"{printable(path)}: holds no state dict but a {type(content).__name__}; tensors by "
            f"name were expected. {RESAVE}."
        )
    if _is_state_dict(content):
        return content, "", ()
    held = [key for key in WRAPPERS if _is_state_dict(content.get(key))]
    if len(held) == 1:
        beside = tuple(_shown(key) for key in content if key != held[0])
        return content[held[0]], held[0], beside
    keys = ", ".join(repr(_shown(key)) for key in list(content)[:6])
    found = f"two of them, under {' and '.join(map(repr, held))}" if held else f"but {keys}"
    raise BenchboxError(
        f"{printable(path)}: expected tensors by name, bare or under one of "
        f"{', '.join(WRAPPERS)}, found {found}. {RESAVE}."
    )


def _is_state_dict(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and bool(value)
        and all(type(tensor) in (Tensor, nn.Parameter) for tensor in value.values())
        and all(isinstance(key, str) for key in value)
    )


def _common_prefix(state: Mapping[str, Tensor]) -> str:
    """Return what stands before every name: one or several of `PREFIXES`, or nothing.

    A name that only some tensors bear is a part of the model: ``model.layer1`` beside
    ``classifier`` stays.
    """
    prefix = ""
    while added := next(
        (more for more in PREFIXES if all(key.startswith(prefix + more) for key in state)), None
    ):
        prefix += added
    return prefix


def _require_bounded(path: Path, state: Mapping[str, Tensor]) -> None:
    """Refuse tensors that only claim to be large: a view of one number may have any shape."""
    size = sum(tensor.numel() * max(tensor.element_size(), 4) for tensor in state.values())
    if size > LARGEST:
        raise BenchboxError(
            f"{printable(path)}: its tensors take {size / 2**30:.1f} GiB, {LARGEST // 2**30} GiB "
            "at most are read."
        )


def _finite_float32(path: Path, key: str, tensor: Tensor) -> Tensor:
    """Return a tensor by itself: on the CPU, dense, floats in single precision.

    Raises:
        BenchboxError: it is sparse, quantised, complex or empty of data, or holds NaN.
    """
    plain = tensor.layout == torch.strided and tensor.device.type == "cpu"
    if not plain or tensor.is_quantized or tensor.is_complex():
        raise BenchboxError(
            f"{printable(path)}: {_shown(key)!r} is no dense tensor of real numbers "
            f"({_name(tensor.dtype)}, {_name(tensor.layout)}, {tensor.device.type}). Save the "
            "model in float32."
        )
    tensor = tensor.detach()
    if tensor.is_floating_point():
        tensor = tensor.float()
        if not bool(torch.isfinite(tensor).all()):
            raise BenchboxError(
                f"{printable(path)}: {_shown(key)!r} holds NaN or infinite values: the training "
                "diverged, or the file is damaged. Take an earlier checkpoint, or fetch it again."
            )
    return tensor.contiguous()


def _shown(key: Any) -> str:
    return printable(str(key)[:_LONGEST])


def _name(kind: torch.dtype | torch.layout) -> str:
    return str(kind).removeprefix("torch.")


def _told(error: Exception) -> str:
    """Return what an error says on one line, without torch's advice to load it unsafely."""
    said = str(error).rpartition("WeightsUnpickler error: ")[2].partition("Check the doc")[0]
    return printable(" ".join(said.split())[:_LONGEST]) or type(error).__name__
