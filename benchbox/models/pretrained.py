"""Pretrained weights for a trunk: from the model hub, from its cache, or from a file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import huggingface_hub
from torch import nn

from benchbox.errors import BenchboxError
from benchbox.models.checkpoints.reading import read_checkpoint
from benchbox.models.trunks import load_timm, one_line, timm_config

HUB_TIMEOUT_SECONDS = 5.0
"""How long the model hub may take to answer before we call ourselves offline."""

_DEFAULT_FILE = "model.safetensors"


def load_pretrained(
    trunk: nn.Module, name: str, option: Mapping[str, Any], file: Path | None
) -> None:
    """Load ImageNet weights, or a file's, into a trunk from `trunks.build_timm`.

    Args:
        trunk: changed in place.
        name: timm's name, with or without a pretrained tag.
        option: what the trunk was built with.
        file: a checkpoint with timm's names; None takes timm's own from the hub or its cache.

    Raises:
        BenchboxError: no such file, not a checkpoint, not this model's, or no connection.
    """
    source = file if file is not None else hub_file(name)
    if not source.is_file():
        raise BenchboxError(
            f"{source}: no such file. pretrained takes true (timm's weights), false, or the path "
            "of a timm state dict (.safetensors, or .pth)."
        )
    state = read_checkpoint(source).tensors
    try:
        load_timm(trunk, name, option, state)
    except Exception as error:
        raise BenchboxError(
            f"{source}: does not hold the weights of timm's {name}: {one_line(error)}"
        ) from error


def hub_file(name: str) -> Path:
    """Return the cached file of timm's weights for ``name``, downloading it where needed.

    A cached file is used without asking the network. The hub's client retries for most of a
    minute when offline, so one request with a short timeout goes first.

    Raises:
        BenchboxError: timm has no weights, or they are not here and cannot be fetched.
    """
    config = timm_config(name)
    repository, _, revision = str(config.get("hf_hub_id") or "").partition("@")
    if not repository:
        raise BenchboxError(
            f"timm offers no pretrained weights for {name}. Set "
            'pretrained = "path/to/file.safetensors" or pretrained = false.'
        )
    filename = str(config.get("hf_hub_filename") or _DEFAULT_FILE)
    cached = huggingface_hub.try_to_load_from_cache(repository, filename, revision=revision or None)
    if isinstance(cached, str):
        return Path(cached)
    url = huggingface_hub.hf_hub_url(repository, filename, revision=revision or None)
    try:
        huggingface_hub.get_hf_file_metadata(url, timeout=HUB_TIMEOUT_SECONDS)
        return Path(
            huggingface_hub.hf_hub_download(repository, filename, revision=revision or None)
        )
    except Exception as error:  # the client raises its own, its HTTP library's and OSError
        raise BenchboxError(
            f"the pretrained weights of timm's {name} are not on this machine and could not be "
            f"downloaded ({one_line(error, limit=160)}). Download {url} where there is a "
            'connection and set pretrained = "path/to/model.safetensors", or set '
            "pretrained = false to train from scratch."
        ) from error
