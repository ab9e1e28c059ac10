"""What a given model is embedded by: pixels to its own input, its output to one embedding."""

from collections.abc import Mapping, Sequence
from typing import TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchbox.data.protocol import ImageRecord
from benchbox.errors import BenchboxError
from benchbox.models.given import Given


class GivenModel(nn.Module):
    """Embeds images in [0, 1] by a model made elsewhere, as its owner does.

    Args:
        model: the owner's.
        given: how it is used.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: nn.Module, given: Given) -> None:
        super().__init__()
        self.model = model
        self.given = given
        for key, value in (("mean", given.mean), ("std", given.std)):
            numbers = torch.tensor(value or (0.0, 0.0, 0.0)).view(1, 3, 1, 1)
            self.register_buffer(key, numbers, persistent=False)

    def forward(
        self, images: Tensor, cameras: Tensor | None = None, views: Tensor | None = None
    ) -> Tensor:
        """Return the embeddings (B, D) of images (B, 3, H, W) in [0, 1].

        Args:
            images: RGB.
            cameras: (B,) camera ids from 1, where the model takes them.
            views: (B,) view ids, where the model takes them.

        Raises:
            BenchboxError: the output is not one embedding per image.
        """
        ids = self._ids(cameras, views)
        embedding = self._embed(images, ids)
        if self.given.flip_test:
            embedding = (embedding + self._embed(images.flip(3), ids)) / 2
        return F.normalize(embedding) if self.given.scales else embedding

    def _embed(self, images: Tensor, ids: Mapping[str, Tensor]) -> Tensor:
        given = self.given
        pixels = images.flip(1) if given.channels == "bgr" else images
        if given.pixel_range == "0-255":
            pixels = pixels * 255
        if given.mean is not None:
            pixels = (pixels - self.mean) / self.std
        return one_embedding(self.model(pixels, **ids), given.parts)

    def _ids(self, cameras: Tensor | None, views: Tensor | None) -> dict[str, Tensor]:
        ids = {}
        if self.given.cameras is not None and cameras is not None:
            ids[self.given.cameras] = cameras - 1 + self.given.first_camera
        if self.given.views is not None and views is not None:
            ids[self.given.views] = views
        return ids


def ids_for(
    given: Given | None, records: Sequence[ImageRecord], device: torch.device
) -> tuple[Tensor, ...]:
    """Return what a model takes beside its images, (N,) each: cameras, and views.

    Args:
        given: how the model is used; None for one that takes images alone.
        records: the images.
        device: where the model lives.

    Raises:
        BenchboxError: the model wants views, and an image has none.
    """
    if given is None or (given.cameras is None and given.views is None):
        return ()
    cameras = torch.tensor([record.camid for record in records], device=device)
    if given.views is None:
        return (cameras,)
    views = [record.view for record in records if record.view is not None]
    if len(views) < len(records):
        raise BenchboxError("the model wants view ids, and the dataset has none.")
    return cameras, torch.tensor(views, device=device)


def one_embedding(output: object, parts: str | int | None) -> Tensor:
    """Return a model's output as one embedding per image, (B, D).

    Args:
        output: a (B, D) tensor; or several parts: a (B, P, D) tensor, a list, tuple or dict of
            (B, D) tensors.
        parts: how several become one; see `Given`.

    Raises:
        BenchboxError: it is something else, or how is not said; the message has the shapes.
    """
    if _is_embedding(output) and parts is None:
        return output
    named = _parts_of(output)
    if not any(map(_is_embedding, named.values())):
        raise BenchboxError(
            f"the model returns {describe(output)}; expected one embedding per image, (B, D). "
            "Pool it, or return the embedding alone, in the builder's model."
        )
    picked = _picked(named, parts)
    vectors = [part for part in picked if _is_embedding(part)]
    same = len({vector.shape[1] for vector in vectors}) == 1
    if vectors and len(vectors) == len(picked) and (parts != "mean" or same):
        return torch.cat(vectors, dim=1) if parts != "mean" else torch.stack(vectors).mean(dim=0)
    ways = 'parts = "concatenate", "mean", or the place or key of the one to take'
    said = "" if parts is None else f", and parts = {parts!r} does not fit"
    raise BenchboxError(f"the model returns {describe(output)}{said}. Say how: {ways}.")


def _is_embedding(value: object) -> TypeGuard[Tensor]:
    return isinstance(value, Tensor) and value.ndim == 2


def _parts_of(output: object) -> dict[object, object]:
    """Return the parts of an output by key or place; a single one has place 0."""
    if isinstance(output, Mapping):
        return dict(output)
    if isinstance(output, list | tuple):
        return dict(enumerate(output))
    if isinstance(output, Tensor) and output.ndim == 3:
        return dict(enumerate(output.unbind(dim=1)))
    return {0: output}


def _picked(named: dict[object, object], parts: str | int | None) -> list[object]:
    """Return the parts that are joined, or the one that is meant; none where that is unclear."""
    if parts in ("concatenate", "mean") and parts not in named:
        return list(named.values())
    if parts in named:
        return [named[parts]]
    if isinstance(parts, int) and -len(named) <= parts < len(named):
        return [list(named.values())[parts]]
    return []


def describe(output: object) -> str:
    """Return an output's type and shapes in words."""
    if isinstance(output, Tensor):
        return f"a tensor of shape {tuple(output.shape)}"
    if isinstance(output, Mapping):
        inside = ", ".join(f"{key!r}: {describe(value)}" for key, value in output.items())
        return f"a dict ({inside[:300]})"
    if isinstance(output, list | tuple):
        return f"a {type(output).__name__} ({', '.join(map(describe, output))[:300]})"
    return f"a {type(output).__name__}"
