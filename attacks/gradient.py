"""The gradient an attack follows, taken with respect to the pixels alone."""

from collections.abc import Callable

import torch
from torch import Tensor

from attacks.guides import Guides
from benchbox.errors import BenchboxError
from benchbox.models.embed import Embed

Objective = Callable[[Tensor, Guides], Tensor]
"""Embeddings (B, D) and their guides to (B,) values to increase."""

NO_GRADIENT = (
    "embed: the embeddings carry no gradient to the images; "
    "remove detach() and no_grad() from it, or give a guard a backward pass"
)


class ObjectiveGradient:
    """Maps points (B, 3, H, W) to the gradient of their summed objectives, same shape.

    No call waits for the device: whether all embeddings were finite is gathered there and asked
    once, at the end, by `require_finite`.
    """

    def __init__(self, embed: Embed, objective: Objective, guides: Guides) -> None:
        self._embed = embed
        self._objective = objective
        self._guides = guides
        self._finite: Tensor | None = None

    def __call__(self, points: Tensor) -> Tensor:
        """Return the gradient at ``points``; the embedding's parameters receive none.

        Raises:
            BenchboxError: the embeddings have an unexpected shape or no gradient.
        """
        points = points.detach().requires_grad_()
        embeddings = self._embed(points)
        expected = (len(points), self._guides.bank.shape[1])
        if embeddings.shape != expected:
            raise BenchboxError(
                f"embed: expected embeddings of shape {expected}, as the guides have them, "
                f"got {tuple(embeddings.shape)}"
            )
        if not embeddings.requires_grad:
            raise BenchboxError(NO_GRADIENT)
        finite = embeddings.detach().isfinite().all(dim=1)
        self._finite = finite if self._finite is None else self._finite & finite
        objective = self._objective(embeddings, self._guides).sum()
        (gradient,) = torch.autograd.grad(objective, points)
        return gradient

    def require_finite(self) -> None:
        """Check all embeddings met so far.

        Raises:
            BenchboxError: one was NaN or infinite.
        """
        if self._finite is None:
            return
        bad = (~self._finite).nonzero().flatten().tolist()
        if bad:
            raise BenchboxError(
                f"embed: embeddings of {len(bad)} of {len(self._finite)} images were not finite "
                f"during the attack (the first is image {bad[0]} of its batch); "
                "check the model's weights, or attack in fp32"
            )


def require_embeddings(embeddings: Tensor, images: int, *, with_gradient: bool = True) -> None:
    """Check what a model made of some images; waits for the device.

    Raises:
        BenchboxError: they are not one finite row an image, or carry no gradient to the images
            where one is wanted.
    """
    if embeddings.ndim != 2 or len(embeddings) != images:
        raise BenchboxError(
            f"embed: expected one row of embeddings for each of {images} images, "
            f"got {tuple(embeddings.shape)}"
        )
    if with_gradient and not embeddings.requires_grad:
        raise BenchboxError(NO_GRADIENT)
    bad = (~embeddings.detach().isfinite().all(dim=1)).nonzero().flatten().tolist()
    if bad:
        raise BenchboxError(
            f"embed: embeddings of {len(bad)} of {images} images were not finite during the "
            f"attack (the first is image {bad[0]} of its batch); check the model's weights, or "
            "attack in fp32"
        )
