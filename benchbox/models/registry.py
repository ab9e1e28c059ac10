"""Backbones by name: ours, and any of timm's."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from torch import nn

from benchbox.errors import BenchboxError, unknown_name
from benchbox.models.apnet import APNet
from benchbox.models.pretrained import load_pretrained
from benchbox.models.reid import IMAGENET_MEAN, IMAGENET_STD, ReidModel
from benchbox.models.trunks import (
    build_timm,
    is_timm_name,
    last_stride_one,
    module_of_timm_name,
    near_timm_names,
    timm_config,
    width_of,
)
from benchbox.models.weights import load_weights, save_weights

__all__ = ["BACKBONES", "Backbone", "build_model", "check_backbone", "load_weights", "save_weights"]


@dataclass(frozen=True, slots=True)
class Backbone:
    """A named backbone that is more than a timm model as it comes.

    Attributes:
        timm_name: the timm model it is made of, and whose pretrained weights it takes.
        adapt: the function that makes the backbone's trunk of that model.
        about: a line for who chooses.
    """

    timm_name: str
    adapt: Callable[[nn.Module], nn.Module]
    about: str


def _as_it_comes(model: nn.Module) -> nn.Module:
    return model


def _apnet(resnet: nn.Module) -> nn.Module:
    return APNet(last_stride_one(resnet))


BACKBONES: dict[str, Backbone] = {
    # The ReID literature starts from torchvision's first ImageNet weights, not timm's newer ones.
    "apnet": Backbone(
        "resnet50.tv_in1k", _apnet, "ResNet-50 with attention over a pyramid of parts"
    ),
    "resnet50": Backbone(
        "resnet50.tv_in1k", last_stride_one, "ResNet-50, its last stride 1, as usual in ReID"
    ),
    "small": Backbone("test_resnet", _as_it_comes, "timm's smallest ResNet, for trials"),
}
"""Our own names. Any other name is timm's; a plugin adds one by ``timm.models.register_model``."""


def check_backbone(name: str, *, where: str = "") -> None:
    """Raise unless ``name`` is one of ours or one of timm's; nothing is built.

    Args:
        name: such as ``resnet50``, ``apnet``, ``small`` or ``vit_small_patch16_224``; a tag after
            a dot picks among timm's pretrained weights, as in ``resnet50.tv_in1k``.
        where: the file and key it stood in, for the message.

    Raises:
        BenchboxError: the name is unknown, with the nearest ones.
    """
    if name.partition(".")[0] in BACKBONES or is_timm_name(name):
        timm_config(_timm_name(name))
        return
    error = unknown_name("backbone", name, [*BACKBONES, *near_timm_names(name)], where=where)
    raise BenchboxError(f"{error} Any timm model name will do, too.")


def try_backbone(name: str, image_size: tuple[int, int]) -> None:
    """Embed one image with a backbone that is not ours, on random weights.

    Raises:
        BenchboxError: it does not give one embedding an image, or not of this size.
    """
    if name.partition(".")[0] not in BACKBONES:
        with _seeded(0):
            build_timm(_timm_name(name), image_size)


def module_of_backbone(name: str) -> str | None:
    """Return the module of a backbone that is neither ours nor timm's, such as a plugin's."""
    if name.partition(".")[0] in BACKBONES:
        return None
    module = module_of_timm_name(name)
    return None if module.partition(".")[0] == "timm" else module


def timm_version() -> str:
    """Return the version of timm, of which every trunk is made."""
    return version("timm")


def build_model(
    name: str,
    *,
    num_classes: int,
    pretrained: bool | str | Path = False,
    seed: int | None = 0,
    image_size: tuple[int, int] = (256, 128),
) -> ReidModel:
    """Build a backbone with ReID head on the CPU, in train mode.

    Args:
        name: see `check_backbone`.
        num_classes: training identities, at least 1.
        pretrained: True takes timm's ImageNet weights; a path is a timm state dict.
        seed: of the random initialisation; the global generators are neither read nor moved.
            None draws from the global generator instead.
        image_size: (height, width) in pixels. Only models that cannot take any size depend on it.

    Returns:
        a model with mean and standard deviation as timm has them for these weights (ImageNet's
        where it has none).

    Raises:
        BenchboxError: unknown name, unusable model, or pretrained weights that cannot be had.
    """
    check_backbone(name)
    if num_classes < 1:
        raise BenchboxError(
            f"backbone {name!r}: num_classes is {num_classes}, at least 1 expected."
        )
    timm_name = _timm_name(name)
    ours = BACKBONES.get(name.partition(".")[0])
    config = timm_config(timm_name)
    with _seeded(seed):
        trunk, option = build_timm(timm_name, image_size)
        if pretrained is not False:
            file = None if pretrained is True else Path(pretrained)
            load_pretrained(trunk, timm_name, option, file)
        trunk = ours.adapt(trunk) if ours else trunk
        return ReidModel(
            trunk,
            embedding_dim=width_of(trunk, image_size),
            num_classes=num_classes,
            mean=config.get("mean") or IMAGENET_MEAN,
            std=config.get("std") or IMAGENET_STD,
        )


def _timm_name(name: str) -> str:
    architecture, dot, tag = name.partition(".")
    ours = BACKBONES.get(architecture)
    if ours is None:
        return name
    return f"{ours.timm_name.partition('.')[0]}.{tag}" if dot else ours.timm_name


@contextmanager
def _seeded(seed: int | None) -> Iterator[None]:
    """Build on the CPU from a seed, and leave every generator as it was."""
    with torch.device("cpu"):
        if seed is None:
            yield
            return
        # Only the CPU's generator takes part; torch.manual_seed would reseed the GPUs' as well.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            yield
