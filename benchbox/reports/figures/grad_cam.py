"""Grad-CAM of an embedding: where an image speaks for its similarity to another embedding."""

import importlib
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchbox.errors import BenchboxError
from benchbox.torchvision_import import ensure_torchvision

MIN_PLACES = 32
"""A feature map of fewer than 8 × 4 places says little about where: an earlier one is used."""


def heat(model: nn.Module, image: Tensor, target: Tensor) -> npt.NDArray[np.float32]:
    """Return where an image speaks for its similarity to an embedding: (H, W) in [0, 1].

    Grad-CAM (Selvaraju et al. 2017) with the cosine similarity s in place of a class score: with
    A_k the channels of the last feature map (see `last_feature_map`),

        heat = ReLU(Σ_k w_k A_k),    w_k = the mean over places of ∂s/∂A_k,

    scaled to [0, 1] and enlarged to the image. All zeros where no place speaks for the target.

    Args:
        model: on any device, in any mode; a copy of it is used, so that nothing of it changes.
        image: (3, H, W) in [0, 1].
        target: (D,) clean embedding of the same person by the same model, of *other* images: at
            the image's own embedding the similarity is at its maximum and has no gradient.

    Raises:
        BenchboxError: grad-cam is not installed, the backbone has no feature map to show, the
            embeddings are not finite, or the target is the image's own embedding.
    """
    library = _grad_cam_library()
    # The copy's graph must be there for Grad-CAM even where the caller wants no gradients.
    with torch.inference_mode(mode=False), torch.enable_grad():
        copy = deepcopy(model).eval().requires_grad_(requires_grad=True)
        weight = next(copy.parameters())
        device, dtype = weight.device, weight.dtype
        batch = image.detach().to(device, dtype, copy=True)[None]
        towards = F.normalize(target.detach().to(device, dtype, copy=True), dim=0)
        _refuse_own_embedding(copy, batch, towards)
        layer, reshape = last_feature_map(copy, batch)
        with library.GradCAM(copy, [layer], reshape_transform=reshape) as cam:
            # A given model's embedding may have any length.
            similarity = partial(F.cosine_similarity, towards, dim=0)
            found = cam(input_tensor=batch, targets=[similarity])
    heated: npt.NDArray[np.float32] = np.clip(found[0], 0, 1)
    return heated


def last_feature_map(
    model: nn.Module, batch: Tensor
) -> tuple[nn.Module, Callable[[Tensor], Tensor] | None]:
    """Return the layer that gives the trunk's last feature map, and what makes its output a map.

    For convolutional trunks that is the last stage whose output (B, C, h, w) has `MIN_PLACES`
    places or more; stages are not looked into, unless they are plain sequences. For timm's vision
    transformers it is the norm before the last attention, behind which the class token alone may
    count, and its patch tokens are laid out as a map.

    Args:
        model: in evaluation mode.
        batch: (1, 3, H, W) in [0, 1], such as will be shown.

    Raises:
        BenchboxError: the trunk is neither.
    """
    trunk = _trunk(model)
    transformers = importlib.import_module("timm.models.vision_transformer")
    if isinstance(trunk, transformers.VisionTransformer):
        return _patch_tokens(trunk, (batch.shape[2], batch.shape[3]))
    shapes = _output_shapes(model, batch)

    def is_inside_a_stage(name: str) -> bool:
        parts = name.split(".")
        above = (".".join(parts[:depth]) for depth in range(1, len(parts)))
        return any(
            len(shapes.get(outer, ())) == 4
            and not isinstance(trunk.get_submodule(outer), nn.Sequential)
            for outer in above
        )

    names = list(shapes)
    maps = [
        name
        for name, shape in shapes.items()
        if len(shape) == 4 and shape[2] * shape[3] >= MIN_PLACES and not is_inside_a_stage(name)
    ]
    # Tokens (B, N, C) behind the last map are another transformer's, and the map but its stem.
    behind = names[names.index(maps[-1]) :] if maps else []
    has_tokens = any(len(shapes[name]) == 3 and shapes[name][1] > 1 for name in behind)
    if not maps or has_tokens or getattr(trunk, "output_fmt", "NCHW") != "NCHW":
        raise BenchboxError(
            f"backbone {type(trunk).__name__}: it has no feature map (B, C, h, w) of at least "
            f"{MIN_PLACES} places that Grad-CAM could show. Supported: convolutional trunks and "
            "timm's VisionTransformer, at images that are not too small."
        )
    return trunk.get_submodule(maps[-1]), None


def _trunk(model: nn.Module) -> nn.Module:
    """Return what embeds: the trunk of a model of ours, a given model as its owner built it."""
    inner = getattr(model, "model", model)
    trunk = getattr(inner, "trunk", inner)
    return trunk if isinstance(trunk, nn.Module) else model


def _patch_tokens(
    trunk: Any, image_size: tuple[int, int]
) -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    """Return the norm before a vision transformer's last attention, and its tokens as a map."""
    grid: tuple[int, int] = trunk.patch_embed.dynamic_feat_size(image_size)

    def as_map(tokens: Tensor) -> Tensor:
        patches = tokens[:, trunk.num_prefix_tokens :].transpose(1, 2)
        return patches.reshape(*patches.shape[:2], *grid)

    return trunk.blocks[-1].norm1, as_map


def _output_shapes(model: nn.Module, batch: Tensor) -> dict[str, tuple[int, ...]]:
    """Return the shape of what each module of the trunk returned, in the order they finished."""
    shapes: dict[str, tuple[int, ...]] = {}

    def note(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: object, output: object) -> None:
            shapes.pop(name, None)
            shapes[name] = tuple(output.shape) if isinstance(output, Tensor) else ()

        return hook

    handles = [
        module.register_forward_hook(note(name)) for name, module in _trunk(model).named_modules()
    ]
    try:
        with torch.no_grad():
            model(batch)
    finally:
        for handle in handles:
            handle.remove()
    return shapes


def _grad_cam_library() -> Any:
    """Import grad-cam, which takes seconds, where it is used."""
    ensure_torchvision()
    try:
        return importlib.import_module("pytorch_grad_cam")
    except ImportError as error:
        raise BenchboxError(
            f"the figure of heatmaps needs the library grad-cam ({error}): pip install grad-cam."
        ) from error


def _refuse_own_embedding(model: nn.Module, batch: Tensor, towards: Tensor) -> None:
    with torch.no_grad():
        embedding = model(batch)[0]
    if towards.shape != embedding.shape:
        raise BenchboxError(
            f"target: expected one embedding of this model, {tuple(embedding.shape)}, "
            f"got {tuple(towards.shape)}."
        )
    similarity = float(F.normalize(embedding.double(), dim=0) @ towards.double())
    if not np.isfinite(similarity):
        raise BenchboxError("the heatmap's image or target has an embedding that is not finite.")
    if similarity > 1 - 1e-6:
        raise BenchboxError(
            "target: it is the embedding of the shown image itself (or the model gives all images "
            "one), where the similarity has no gradient. Give that of another clean image of the "
            "person, or the mean over several."
        )
