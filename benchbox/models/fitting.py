"""The model that a checkpoint fits: built by name, loaded, every tensor accounted for."""

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from benchbox.errors import BenchboxError, unknown_name
from benchbox.files.printable import printable
from benchbox.models.checkpoints.accounting import Loading, load_tensors, own_names
from benchbox.models.checkpoints.layouts import Layout
from benchbox.models.checkpoints.reading import Checkpoint, read_checkpoint
from benchbox.models.checkpoints.repositories import LAYOUTS, layout_of
from benchbox.models.registry import build_model, check_backbone
from benchbox.models.resnets import POOLED_WIDTH, VARIANTS, build_variant

_NAMED = 3
"""Names of an unknown file that a message shows."""


@dataclass(frozen=True)
class LoadedModel:
    """A model that somebody trained elsewhere, ready for use.

    Attributes:
        model: images (B, 3, H, W) in [0, 1] to embeddings (B, D), in evaluation mode, on the CPU.
        builder: the name of what built it.
        layout: whose names the file bears.
        loading: what became of each tensor.
    """

    model: nn.Module
    builder: str
    layout: str
    loading: Loading


def load_checkpoint(
    path: Path, *, builder: str | None = None, image_size: tuple[int, int] = (256, 128)
) -> LoadedModel:
    """Read a checkpoint and return the model it was saved from, computing the same embeddings.

    Args:
        path: see `reading.read_checkpoint`.
        builder: one of `resnets.VARIANTS`, or a backbone's name for a model that benchbox trained;
            None takes what the file's authors test.
        image_size: (height, width) in pixels, for backbones that cannot take any size.

    Raises:
        BenchboxError: the file cannot be read, or see `fitting_model`.
    """
    return fitting_model(read_checkpoint(path), builder=builder, image_size=image_size)


def fitting_model(
    checkpoint: Checkpoint,
    *,
    builder: str | None = None,
    image_size: tuple[int, int] = (256, 128),
) -> LoadedModel:
    """Return the model that a checkpoint was saved from; see `load_checkpoint`.

    Raises:
        BenchboxError: none of our builders computes its model, the builder is not one of those
            that do, or a tensor does not fit.
    """
    layout = _require_layout(checkpoint)
    name = _chosen(checkpoint, layout, builder)
    model = _built(name, checkpoint, layout, image_size)
    loading = load_tensors(model, checkpoint, layout)
    return LoadedModel(model.eval(), name, layout.name, loading)


def load_into(model: nn.Module, path: Path) -> Loading:
    """Load a checkpoint into the model of somebody's own builder, by the model's own names.

    Args:
        model: changed in place, and only if everything fits.
        path: see `reading.read_checkpoint`.

    Raises:
        BenchboxError: the file cannot be read, or a tensor is missing, has another shape, or has
            no place in the model.
    """
    checkpoint = read_checkpoint(path)
    return load_tensors(model, checkpoint, own_names(model, checkpoint))


def _require_layout(checkpoint: Checkpoint) -> Layout:
    """Return the layout of a checkpoint.

    Raises:
        BenchboxError: its names are nobody's we know.
    """
    layout = layout_of(checkpoint.tensors)
    if layout is not None:
        return layout
    names = ", ".join(repr(printable(name[:100])) for name in list(checkpoint.tensors)[:_NAMED])
    raise BenchboxError(
        f"{printable(checkpoint.path)}: its names ({names}, …) are of no repository we know. Give "
        "a builder of your own, file.py:function, that returns the model it was saved from."
    )


def _chosen(checkpoint: Checkpoint, layout: Layout, builder: str | None) -> str:
    where = printable(checkpoint.path)
    if builder is None and layout.builders:
        return layout.builders[0]
    if builder is None:
        raise BenchboxError(f"{where}: {layout.name}. To use it: {layout.instead}.")
    if layout.any_backbone:
        check_backbone(builder, where=where)
        return builder
    if builder not in layout.builders:
        known = {name for known in LAYOUTS for name in known.builders}
        if builder not in known:
            raise unknown_name("builder", builder, known, where=where)
        use = f"use {' or '.join(layout.builders)}" if layout.builders else layout.instead
        raise BenchboxError(
            f"{where}: {layout.name}, which builder {builder!r} does not compute: {use}."
        )
    return builder


def _built(
    name: str, checkpoint: Checkpoint, layout: Layout, image_size: tuple[int, int]
) -> nn.Module:
    if variant := VARIANTS.get(name):
        width = layout.width(checkpoint.tensors) or POOLED_WIDTH
        return build_variant(variant, embedding_dim=width)
    classes = layout.classes(checkpoint.tensors) or 1
    return build_model(name, num_classes=classes, image_size=image_size)
