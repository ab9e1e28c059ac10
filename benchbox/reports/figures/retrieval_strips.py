"""The figure of retrieval strips: what a query finds, and what it finds once attacked."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from benchbox.data.protocol import JUNK_PID
from benchbox.errors import BenchboxError
from benchbox.evaluation.feature_distances import RankedGallery, exact_products
from benchbox.evaluation.retrieval_inputs import read_features, read_labels
from benchbox.reports.figures.drawing import OKABE_ITO, TEXT_POINTS, literal, new_figure

CORRECT, WRONG = OKABE_ITO[2], OKABE_ITO[1]
"""Frames of hits: green and vermillion, which anyone tells apart; a sign says it again."""

_WIDTH = 7.0  # inches, the text width of a page in two columns
_GAP = 0.09
_BELOW = 0.17  # for the line under an image
_TITLE = 0.27
_SIGNS = {True: "✓", False: "✗"}


@dataclass(frozen=True, slots=True)
class Hit:
    """A gallery image in the order of its distance.

    Attributes:
        index: its position in the gallery.
        correct: whether it shows the query's identity.
        distance: Euclidean, between the embeddings.
    """

    index: int
    correct: bool
    distance: float


@dataclass(frozen=True, slots=True, eq=False)
class Strip:
    """A query before and after an attack, with what it retrieves.

    Attributes:
        title: above the strip, such as the defense's title and the attack's.
        clean: the query, (3, H, W) in [0, 1].
        adversarial: the attacked query, of the same shape, within ``eps`` of it.
        eps: the attack's budget in [0, 1].
        before: hits of the clean query, nearest first, each with its (3, H, W) image.
        after: likewise, of the attacked query.
    """

    title: str
    clean: Tensor
    adversarial: Tensor
    eps: float
    before: Sequence[tuple[Hit, Tensor]]
    after: Sequence[tuple[Hit, Tensor]]


def retrieve(
    query_feature: Tensor,
    gallery_features: Tensor,
    *,
    pid: int,
    camid: int,
    gallery_pids: npt.ArrayLike | Tensor,
    gallery_camids: npt.ArrayLike | Tensor,
    k: int = 8,
) -> list[Hit]:
    """Return a query's ``k`` nearest gallery images, in the evaluator's order.

    Distances that rank are the evaluator's own (see `benchbox.evaluation.feature_distances`).
    Junk is left out: the query's own identity on its own camera, and pid -1. Equal distances
    rank by gallery order.

    Args:
        query_feature: (D,) embedding.
        gallery_features: (G, D) embeddings.
        pid: the query's identity.
        camid: the query's camera.
        gallery_pids: (G,) identities.
        gallery_camids: (G,) cameras.
        k: how many at most.

    Raises:
        BenchboxError: embeddings or labels do not fit, or are not finite.
    """
    gallery = read_features("gallery_features", gallery_features)
    query = read_features("query_feature", query_feature.reshape(1, -1)).to(gallery.device)
    if query.shape[1] != gallery.shape[1]:
        raise BenchboxError(
            f"query_feature has {query.shape[1]} dimensions, gallery_features {gallery.shape[1]}: "
            "both must come from the same model."
        )
    dtype = torch.promote_types(query.dtype, gallery.dtype)
    query, gallery = query.to(dtype), gallery.to(dtype)
    labels = read_labels((1, len(gallery)), [pid], gallery_pids, [camid], gallery_camids)
    with torch.no_grad(), exact_products(gallery.device):
        (chunk,) = RankedGallery.of(gallery, "euclidean").chunks(query, queries=1)
    same = labels.gallery_pids == pid
    junk = (same & (labels.gallery_camids == camid)) | (labels.gallery_pids == JUNK_PID)
    order = np.argsort(chunk[0].cpu().numpy(), kind="stable")
    nearest = order[~junk[order]][:k]
    distances = torch.linalg.vector_norm((gallery[nearest] - query).double(), dim=1)
    return [
        Hit(int(index), bool(same[index]), distance)
        for index, distance in zip(nearest, distances.tolist(), strict=True)
    ]


def retrieval_strips(strips: Sequence[Strip]) -> Figure:
    """Return two rows per strip: the clean query with its hits, the attacked one with its own.

    Beside the attacked query stands the perturbation, amplified so that ±eps spans black to
    white. Correct hits are framed green with a tick, wrong ones vermillion with a cross; under
    each hit is its distance.

    Args:
        strips: one to four fill a page; all queries of one size.

    Raises:
        BenchboxError: there is nothing to show, or a perturbation is larger than its eps.
    """
    if not strips:
        raise BenchboxError("the figure of retrieval strips needs at least one query.")
    columns = 2 + max(len(hits) for strip in strips for hits in (strip.before, strip.after))
    height, width = strips[0].clean.shape[1:]
    tile = min(0.75, _WIDTH / columns - _GAP)
    tall = tile * height / width
    row = tall + _BELOW + 0.06
    size = (columns * (tile + _GAP) + _GAP, len(strips) * (_TITLE + 2 * row) + 0.02)
    figure = new_figure(*size)
    figure.set_layout_engine("none")
    for number, strip in enumerate(strips):
        top = number * (_TITLE + 2 * row)
        figure.text(
            _GAP / size[0],
            1 - (top + 0.19) / size[1],
            literal(_cut(strip.title, int(12 * size[0]))),
            fontsize=TEXT_POINTS,
            weight="bold",
        )

        def place(line: int, column: int, top: float = top) -> Axes:
            bottom = size[1] - top - _TITLE - line * row - tall
            left = _GAP + column * (tile + _GAP)
            return figure.add_axes(
                (left / size[0], bottom / size[1], tile / size[0], tall / size[1])
            )

        _show(place(0, 0), strip.clean, below="clean query")
        _show(place(1, 0), strip.adversarial, below="attacked")
        amplified, factor = perturbation(strip)
        beside = place(1, 1)
        _show(beside, amplified, below="", smooth=False)
        beside.set_title(f"perturbation\n{factor}", fontsize=TEXT_POINTS - 1, pad=3)
        for line, hits in enumerate((strip.before, strip.after)):
            for column, (hit, image) in enumerate(hits, start=2):
                _show_hit(place(line, column), hit, image)
    return figure


def perturbation(strip: Strip) -> tuple[Tensor, str]:
    """Return 0.5 + (adversarial - clean) / (2 eps), in [0, 1], and its amplification as text.

    Raises:
        BenchboxError: it is larger than eps (by more than half a grey level), or eps is none.
    """
    difference = strip.adversarial - strip.clean
    largest = float(difference.abs().max())
    if not 0 < strip.eps <= 1 or not largest <= strip.eps + 0.5 / 255:
        raise BenchboxError(
            f"strip {strip.title!r}: expected a perturbation within an eps in (0, 1], got "
            f"{largest * 255:.2f}/255 at eps {strip.eps * 255:.2f}/255. Give the images and the "
            "budget of one attack."
        )
    factor = 1 / (2 * strip.eps)
    shown = f"{factor:.0f}" if factor >= 10 else f"{factor:.1f}"
    return (0.5 + factor * difference).clamp(0, 1), f"×{shown}"


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _show(axes: Axes, image: Tensor, *, below: str, smooth: bool = True) -> None:
    pixels = image.detach().float().cpu().clamp(0, 1).permute(1, 2, 0).numpy()
    axes.imshow(pixels, interpolation="bicubic" if smooth else "nearest", aspect="auto")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.set_xlabel(below, fontsize=TEXT_POINTS - 1, labelpad=3)


def _show_hit(axes: Axes, hit: Hit, image: Tensor) -> None:
    sign = _SIGNS[hit.correct]
    colour = CORRECT if hit.correct else WRONG
    _show(axes, image, below=f"{sign} {hit.distance:.2f}")
    axes.xaxis.label.set_color(colour)
    axes.spines[:].set(visible=True, color=colour, linewidth=2)
