"""The figure of heatmaps: where a model looks when it recognises a person (Zhou et al., Fig. 6)."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from textwrap import fill
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from torch import Tensor, nn

from benchbox.errors import BenchboxError
from benchbox.models.reid import ReidModel
from benchbox.reports.figures.drawing import TEXT_POINTS, literal, new_figure
from benchbox.torchvision_import import ensure_torchvision

MIN_PLACES = 32
"""A feature map of fewer than 8 × 4 places says little about where: an earlier one is used."""

COLOURS = "inferno"
_OPACITY = (0.2, 0.7)  # of the colours, where there is no heat and where it is highest
_WIDTH = 7.0  # inches, the text width of a page in two columns
_LINE = 0.14  # inches, of a person's title
_BAR = 0.55
_HEAD_LINE = 0.15
_GAP = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Person:
    """A query, and what each model's own attack made of it.

    Attributes:
        title: beside the row, such as ``P1``.
        clean: (3, H, W) in [0, 1].
        adversarial: model title → (3, H, W) in [0, 1].
    """

    title: str
    clean: Tensor
    adversarial: Mapping[str, Tensor]


def heat(model: ReidModel, image: Tensor, target: Tensor) -> npt.NDArray[np.float32]:
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
        device, dtype = copy.mean.device, copy.mean.dtype
        batch = image.detach().to(device, dtype, copy=True)[None]
        towards = F.normalize(target.detach().to(device, dtype, copy=True), dim=0)
        _refuse_own_embedding(copy, batch, towards)
        layer, reshape = last_feature_map(copy, batch)
        with library.GradCAM(copy, [layer], reshape_transform=reshape) as cam:
            found = cam(input_tensor=batch, targets=[lambda embedding: embedding @ towards])
    heated: npt.NDArray[np.float32] = np.clip(found[0], 0, 1)
    return heated


def last_feature_map(
    model: ReidModel, batch: Tensor
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
    trunk = model.trunk
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


def heatmaps(
    models: Mapping[str, ReidModel],
    people: Sequence[Person],
    targets: Mapping[str, Sequence[Tensor] | Tensor],
) -> Figure:
    """Return a row per person: the clean image, then each model's heat, clean and attacked.

    Args:
        models: title → model, two to four for a page's width.
        people: two to four, with images of one size.
        targets: model title → a (D,) embedding per person, see `heat`.

    Raises:
        BenchboxError: there is nothing to show, images or embeddings are missing, or as `heat`.
    """
    _require_complete(models, people, targets)
    height, width = people[0].clean.shape[1:]
    columns = 1 + 2 * len(models)
    tile = min(0.95, max(0.5, (_WIDTH - 0.12 - _LINE - _BAR) / columns - _GAP))
    tall = tile * height / width
    names = [fill(person.title, max(8, int(12 * tall))) for person in people]
    side = 0.12 + _LINE * (1 + max(name.count("\n") for name in names))
    title_lines = {title: fill(title, max(8, int(30 * tile))) for title in models}
    head = _HEAD_LINE * (1.6 + max(text.count("\n") + 1 for text in title_lines.values()))
    size = (
        side + columns * (tile + _GAP) + _BAR,
        head + len(people) * (tall + _GAP),
    )
    figure = new_figure(*size)
    figure.set_layout_engine("none")
    grid = figure.add_gridspec(
        len(people),
        columns,
        left=side / size[0],
        right=1 - (_BAR + _GAP) / size[0],
        top=1 - head / size[1],
        bottom=_GAP / size[1],
        wspace=_GAP / tile,
        hspace=_GAP / tall,
    )
    panels = grid.subplots(squeeze=False)
    for row, (person, name, line) in enumerate(zip(people, names, panels, strict=True)):
        _show(line[0], _pixels(person.clean))
        line[0].set_ylabel(literal(name), fontsize=TEXT_POINTS)
        for place, (title, model) in enumerate(models.items()):
            for axes, image in zip(
                line[1 + 2 * place : 3 + 2 * place],
                (person.clean, person.adversarial[title]),
                strict=True,
            ):
                _show(axes, overlay(image, heat(model, image, targets[title][row])))
    _write_head(figure, list(panels[0]), list(title_lines.values()))
    _colour_bar(figure, size)
    return figure


def heatmaps_caption() -> str:
    """Return what has to stand below the figure, so that nobody reads more into it."""
    return (
        "Grad-CAM of the cosine similarity to clean images of the same person, on the last feature "
        f"map of at least {MIN_PLACES} places: what in an image speaks for the person, according "
        "to the model. Each model is attacked on its own. Every heatmap is scaled by itself, so "
        "colours compare places of one image, not images or models."
    )


def overlay(image: Tensor, heated: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the image in grey under its heat in colours, (H, W, 3) in [0, 1].

    Args:
        image: (3, H, W) in [0, 1].
        heated: (H, W) in [0, 1].
    """
    grey = _pixels(image) @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    colour = colormaps[COLOURS](heated)[..., :3]
    least, most = _OPACITY
    opacity = (least + (most - least) * heated)[..., None]
    mixed = (1 - opacity) * grey[..., None] + opacity * colour
    return np.asarray(mixed, dtype=np.float32)


def _patch_tokens(
    trunk: Any, image_size: tuple[int, int]
) -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    """Return the norm before a vision transformer's last attention, and its tokens as a map."""
    grid: tuple[int, int] = trunk.patch_embed.dynamic_feat_size(image_size)

    def as_map(tokens: Tensor) -> Tensor:
        patches = tokens[:, trunk.num_prefix_tokens :].transpose(1, 2)
        return patches.reshape(*patches.shape[:2], *grid)

    return trunk.blocks[-1].norm1, as_map


def _output_shapes(model: ReidModel, batch: Tensor) -> dict[str, tuple[int, ...]]:
    """Return the shape of what each module of the trunk returned, in the order they finished."""
    shapes: dict[str, tuple[int, ...]] = {}

    def note(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: object, output: object) -> None:
            shapes.pop(name, None)
            shapes[name] = tuple(output.shape) if isinstance(output, Tensor) else ()

        return hook

    handles = [
        module.register_forward_hook(note(name)) for name, module in model.trunk.named_modules()
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
            f"the figure of heatmaps needs the library grad-cam ({error}): "
            "pip install 'benchbox-reid[plots]'."
        ) from error


def _refuse_own_embedding(model: ReidModel, batch: Tensor, towards: Tensor) -> None:
    with torch.no_grad():
        embedding = model(batch)[0]
    if towards.shape != embedding.shape:
        raise BenchboxError(
            f"target: expected one embedding of this model, {tuple(embedding.shape)}, "
            f"got {tuple(towards.shape)}."
        )
    similarity = float(embedding.double() @ towards.double())
    if not np.isfinite(similarity):
        raise BenchboxError("the heatmap's image or target has an embedding that is not finite.")
    if similarity > 1 - 1e-6:
        raise BenchboxError(
            "target: it is the embedding of the shown image itself (or the model gives all images "
            "one), where the similarity has no gradient. Give that of another clean image of the "
            "person, or the mean over several."
        )


def _require_complete(
    models: Mapping[str, ReidModel],
    people: Sequence[Person],
    targets: Mapping[str, Sequence[Tensor] | Tensor],
) -> None:
    if not models or not people:
        raise BenchboxError("the figure of heatmaps needs at least one model and one person.")
    for title in models:
        if len(targets.get(title, ())) != len(people):
            raise BenchboxError(
                f"targets[{title!r}]: expected {len(people)} embeddings, one a person."
            )
        if missing := [person.title for person in people if title not in person.adversarial]:
            raise BenchboxError(f"person {missing[0]!r} has no adversarial image of {title!r}.")
    shapes = {
        tuple(image.shape)
        for person in people
        for image in (person.clean, *person.adversarial.values())
    }
    if len(shapes) > 1:
        raise BenchboxError(f"the heatmaps' images differ in size: {sorted(shapes)}.")


def _pixels(image: Tensor) -> npt.NDArray[np.float32]:
    pixels: npt.NDArray[np.float32] = image.detach().float().cpu().permute(1, 2, 0).numpy()
    return pixels


def _show(axes: Axes, pixels: npt.NDArray[np.float32]) -> None:
    axes.imshow(np.clip(pixels, 0, 1), interpolation="bicubic", aspect="auto")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def _write_head(figure: Figure, top: list[Axes], titles: Sequence[str]) -> None:
    """Write what each column shows, and each model's title above its two columns."""
    for axes, text in zip(top, ["image", *["clean", "attacked"] * len(titles)], strict=True):
        axes.set_title(text, fontsize=TEXT_POINTS - 1, pad=2)
    for place, title in enumerate(titles):
        left, right = (top[1 + 2 * place + side].get_position() for side in (0, 1))
        figure.text(
            (left.x0 + right.x1) / 2,
            left.y1 + 1.25 * _HEAD_LINE / figure.get_figheight(),
            literal(title),
            ha="center",
            va="bottom",
            fontsize=TEXT_POINTS,
        )


def _colour_bar(figure: Figure, size: tuple[float, float]) -> None:
    width, height = size
    tall = min(1.4, 0.6 * height)
    axes = figure.add_axes(
        ((width - _BAR + 0.08) / width, 0.5 - tall / height / 2, 0.09 / width, tall / height)
    )
    bar = figure.colorbar(ScalarMappable(cmap=COLOURS), cax=axes, ticks=[0, 1])
    bar.ax.tick_params(labelsize=TEXT_POINTS - 1, length=2, pad=1)
    bar.set_label("heat", fontsize=TEXT_POINTS - 1, labelpad=-2)
