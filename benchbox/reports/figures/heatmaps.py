"""The figure of heatmaps: where a model looks when it recognises a person (Zhou et al., Fig. 6)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import fill

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from torch import Tensor, nn

from benchbox.errors import BenchboxError
from benchbox.reports.figures.drawing import TEXT_POINTS, TWO_COLUMNS, literal, new_figure
from benchbox.reports.figures.grad_cam import MIN_PLACES, heat

COLOURS = "inferno"
_OPACITY = (0.2, 0.7)  # of the colours, where there is no heat and where it is highest
_LINE = 0.14  # inches, of a person's title
_BAR = 0.55
_HEAD_LINE = 0.15
_GAP = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Person:
    """A query, and what each model's own attack made of it.

    Attributes:
        title: what stands beside the row, such as ``P1``.
        clean: (3, H, W) the query in [0, 1].
        adversarial: model title → (3, H, W) the query in [0, 1] as attacked on that model.
    """

    title: str
    clean: Tensor
    adversarial: Mapping[str, Tensor]


def heatmaps(
    models: Mapping[str, nn.Module],
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
    tile = min(0.95, max(0.5, (TWO_COLUMNS - 0.12 - _LINE - _BAR) / columns - _GAP))
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


def _require_complete(
    models: Mapping[str, nn.Module],
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
