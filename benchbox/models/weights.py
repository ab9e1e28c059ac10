"""Weights files: safetensors with a checked header; no pickle is ever read."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from benchbox.errors import BenchboxError
from benchbox.files.atomic import write_bytes

FORMAT = "benchbox-weights-1"
"""Name and version of the layout; the key of the header's one entry."""


def save_weights(model: nn.Module, path: Path, *, metadata: Mapping[str, str]) -> None:
    """Write a model's state dict to ``path``, atomically and the same bytes every time.

    Args:
        model: on any device.
        path: ends in ``.safetensors``.
        metadata: anything worth knowing about the weights, such as their recipe.

    Raises:
        BenchboxError: the file cannot be written, or a tensor holds NaN or infinite values.
    """
    tensors = {
        # Tied weights share memory, which the format refuses: each name gets its own copy.
        key: tensor.detach().cpu().contiguous().clone()
        for key, tensor in model.state_dict().items()
    }
    for key, tensor in tensors.items():
        _refuse_non_finite(path, key, tensor)
    entry = {"digest": digest_of_tensors(tensors, metadata), "metadata": dict(metadata)}
    # safetensors writes several header entries in random order, so there is only one.
    write_bytes(path, save(tensors, metadata={FORMAT: json.dumps(entry, sort_keys=True)}))


def load_weights(model: nn.Module, path: Path) -> dict[str, str]:
    """Load a file from `save_weights` into ``model`` and return the file's metadata.

    Names, shapes and types have to match one to one (a wider floating type in the model is fine),
    and the content its digest. The model is not changed unless the whole file is good.

    Raises:
        BenchboxError: the file is missing, damaged, not ours, or another model's.
    """
    if not path.is_file():
        raise BenchboxError(f"{path}: no such weights file.")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            digest, metadata = _entry(path, file.metadata())
            expected = model.state_dict()
            _compare_names(path, set(file.keys()), set(expected))
            tensors = {key: file.get_tensor(key) for key in expected}
    except (SafetensorError, OSError) as error:
        raise BenchboxError(
            f"{path}: damaged, or not a safetensors file ({error}). Delete it and train again."
        ) from error
    for key, tensor in tensors.items():
        _compare_tensors(path, key, tensor, expected[key])
    if digest_of_tensors(tensors, metadata) != digest:
        raise BenchboxError(
            f"{path}: damaged: its content does not match its digest. Delete it and train again."
        )
    with torch.no_grad():
        for key, tensor in tensors.items():
            expected[key].copy_(tensor)
    return metadata


def stored_shape(path: Path, key: str) -> tuple[int, ...]:
    """Return the shape of one tensor of a safetensors file, from its header alone.

    Raises:
        BenchboxError: the file is missing or damaged, or has no such tensor.
    """
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return tuple(file.get_slice(key).get_shape())
    except (SafetensorError, OSError) as error:
        raise BenchboxError(f"{path}: damaged, or without {key!r} ({error}).") from error


def digest_of_tensors(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """Return the SHA-256 over metadata, names, types, shapes and values of contiguous tensors."""
    digest = hashlib.sha256(json.dumps(dict(metadata), sort_keys=True).encode())
    for key, tensor in sorted(tensors.items()):
        digest.update(f"\n{key} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def digest_of_state(model: nn.Module) -> str:
    """Return the SHA-256 over the names, types, shapes and values of a model's tensors."""
    state = model.state_dict().items()
    # A bare module may keep other things in its state, which no weights file could hold.
    tensors = {k: v.detach().cpu().contiguous() for k, v in state if isinstance(v, Tensor)}
    return digest_of_tensors(tensors, {})


def _entry(path: Path, header: Mapping[str, str] | None) -> tuple[str, dict[str, str]]:
    """Return the digest and the metadata that a weights file claims."""
    text = (header or {}).get(FORMAT)
    if text is None:
        raise BenchboxError(
            f"{path}: not a benchbox weights file of this version (no {FORMAT!r} in its header). "
            'A timm state dict goes into pretrained = "…" instead.'
        )
    try:
        entry = json.loads(text)
        digest, metadata = entry["digest"], entry["metadata"]
        return str(digest), {str(key): str(value) for key, value in metadata.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BenchboxError(f"{path}: damaged: its header cannot be read ({error!r}).") from error


def _compare_names(path: Path, found: set[str], expected: set[str]) -> None:
    problems = []
    if missing := sorted(expected - found):
        problems.append(f"missing {_some(missing)}")
    if extra := sorted(found - expected):
        problems.append(f"unexpected {_some(extra)}")
    if problems:
        raise BenchboxError(f"{path}: made for another model: {'; '.join(problems)}.")


def _compare_tensors(path: Path, key: str, found: Tensor, expected: Tensor) -> None:
    if found.shape != expected.shape:
        raise BenchboxError(
            f"{path}: {key!r} has shape {tuple(found.shape)}, the model's is "
            f"{tuple(expected.shape)}. Check the backbone and the number of identities."
        )
    same_kind = found.is_floating_point() == expected.is_floating_point()
    if not same_kind or torch.promote_types(found.dtype, expected.dtype) != expected.dtype:
        raise BenchboxError(
            f"{path}: {key!r} has type {found.dtype}, the model's is {expected.dtype}."
        )
    _refuse_non_finite(path, key, found)


def _refuse_non_finite(path: Path, key: str, tensor: Tensor) -> None:
    if not bool(torch.isfinite(tensor).all()):
        raise BenchboxError(
            f"{path}: {key!r} holds NaN or infinite values: the training diverged. Lower the "
            "learning rate, or train in full precision."
        )


def _some(names: list[str], limit: int = 5) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(repr(name) for name in names[:limit]) + more
