"""Trunks from timm: any model by name, pooled by its own head, at the size ReID uses."""

import dataclasses
import difflib
from collections.abc import Mapping
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from benchbox.errors import BenchboxError
from benchbox.torchvision_import import ensure_torchvision

ensure_torchvision()
import timm  # noqa: E402 - torchvision has to be importable first


class NotOneEmbedding(ValueError):
    """A network returns something else than a vector an image."""


def is_timm_name(name: str) -> bool:
    """Say whether timm has an architecture of this name; a pretrained tag is not looked at."""
    return "/" not in name and ":" not in name and bool(timm.is_model(name))


def near_timm_names(name: str) -> list[str]:
    """Return up to three of timm's names that look like ``name``."""
    return difflib.get_close_matches(name, timm.list_models(), n=3)


def timm_names_of(module: str) -> list[str]:
    """Return the architectures that a module, such as a plugin, has registered with timm."""
    return list(timm.list_models(module=module.rpartition(".")[2]))


def module_of_timm_name(name: str) -> str:
    """Return the module that defines a timm architecture: timm's, an installed one, a plugin's."""
    return str(timm.model_entrypoint(name.partition(".")[0]).__module__)


def timm_config(name: str) -> dict[str, Any]:
    """Return timm's pretrained configuration of ``name``: where weights lie, mean, std.

    Raises:
        BenchboxError: the tag after the dot is none of this architecture's.
    """
    architecture = name.partition(".")[0]
    try:
        config = timm.get_pretrained_cfg(name)
    except RuntimeError as error:
        tags = timm.list_pretrained(f"{architecture}.*")
        raise BenchboxError(
            f"backbone {name!r}: timm has no such weights. Known: {', '.join(tags) or 'none'}."
        ) from error
    return dataclasses.asdict(config) if config is not None else {}


def build_timm(name: str, image_size: tuple[int, int]) -> tuple[nn.Module, dict[str, Any]]:
    """Build a timm model without classifier, randomly initialised, that takes ``image_size``.

    Most models take any size. Those with a fixed one (transformers) are asked to resample their
    position embedding in each forward pass, and, where they cannot, are built for the size.

    Returns:
        the model, (B, 3, H, W) → pooled (B, D), and the options it was built with.

    Raises:
        BenchboxError: the model cannot embed images of this size.
    """
    options: list[dict[str, Any]] = [{}]
    if timm_config(name).get("fixed_input_size"):
        options = [{"dynamic_img_size": True}, {"img_size": image_size}, {}]
    height, width = image_size
    reasons: list[str] = []
    for option in options:
        # timm's models refuse an option or a size by whatever error comes first.
        try:
            model: nn.Module = timm.create_model(name, num_classes=0, **option)
            _require_images_alone(model, name)
            width_of(model, image_size)
        except BenchboxError:
            raise
        except NotOneEmbedding as error:
            raise BenchboxError(
                f"backbone {name!r}: {error} of {height}×{width}; expected one tensor of "
                "shape (images, dimensions). Choose another model, or wrap this one so that it "
                "returns its embedding alone."
            ) from error
        except Exception as error:
            reasons.append(one_line(error))
        else:
            return model, option
    raise BenchboxError(
        f"backbone {name!r}: it cannot embed an image of {height}×{width} ({reasons[-1]}). Choose "
        "another model or image size."
    )


def _require_images_alone(model: nn.Module, name: str) -> None:
    """Raise if ``forward`` has arguments beside the images that a caller must give."""
    _, *others = signature(model.forward).parameters.values()
    named = (each for each in others if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD))
    wanted = [each.name for each in named if each.default is each.empty]
    if wanted:
        raise BenchboxError(
            f"backbone {name!r}: its forward wants {', '.join(wanted)} beside the images; a model "
            "sees images alone here. Give it a default, or give a model that exists as it is "
            "(Defense(model=Given(…)), whose cameras may be set)."
        )


def load_timm(
    model: nn.Module, name: str, option: Mapping[str, Any], state: Mapping[str, Tensor]
) -> None:
    """Load a timm state dict into a model from `build_timm`, every tensor accounted for.

    timm's own loader does the work, so files in an architecture's older formats are converted. It
    is only strict for a model with classifier, hence the detour; the file's own classifier, of
    whatever size, is not looked at.

    Raises:
        Exception: of some kind, naming keys, where the state dict is another model's.
    """
    full = timm.create_model(name, **option)
    prefixes = timm_config(name).get("classifier") or ()
    prefixes = (prefixes,) if isinstance(prefixes, str) else tuple(prefixes)
    classifier = tuple(f"{prefix}." for prefix in prefixes)
    body = {key: tensor for key, tensor in state.items() if not key.startswith(classifier)}
    head = {key: tensor for key, tensor in full.state_dict().items() if key.startswith(classifier)}
    overlay = {"state_dict": body | head, "custom_load": False, "label_offset": 0}
    loaded = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, **option)
    loaded_state = loaded.state_dict()
    model.load_state_dict({key: loaded_state[key] for key in model.state_dict()})


def last_stride_one(resnet: nn.Module) -> nn.Module:
    """Let a ResNet's last stage keep its input's size: the usual choice in ReID.

    The strides are changed after construction, because timm's ``output_stride`` would dilate the
    stage's kernels as well.

    Args:
        resnet: a timm ResNet, changed in place.
    """
    for name in ("layer4.0.conv2", "layer4.0.downsample.0"):
        convolution = resnet.get_submodule(name)
        if not isinstance(convolution, nn.Conv2d):
            raise TypeError(f"{name} is not a convolution: this is not a timm ResNet-50")
        convolution.stride = (1, 1)
    return resnet


def width_of(trunk: nn.Module, image_size: tuple[int, int]) -> int:
    """Return D, by embedding one grey image.

    Raises:
        NotOneEmbedding: the trunk does not return one vector per image.
    """
    mode = trunk.training
    trunk.eval()
    try:
        with torch.no_grad():
            pooled = trunk(torch.zeros(1, 3, *image_size))
    finally:
        trunk.train(mode)
    if not isinstance(pooled, Tensor) or pooled.ndim != 2:
        shape = tuple(pooled.shape) if isinstance(pooled, Tensor) else f"a {type(pooled).__name__}"
        raise NotOneEmbedding(f"it returns {shape} for one image")
    return int(pooled.shape[1])


def one_line(error: Exception, *, limit: int = 400) -> str:
    """Return an error's message on one line, cut to ``limit`` characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= limit else f"{text[:limit]}…"
