"""What an embedding has to be before anything is measured with it; each fault is one line."""

import torch
from torch import Tensor

from benchbox.errors import BenchboxError
from benchbox.models.embed import Embed, of_rows

TRIED = 4
"""Images that are embedded alone and together."""

TOLERANCE = 1e-3
"""How far two embeddings of one image may lie apart, as a share of their length: other kernels
are chosen for other batch sizes, which moves float32 by about 1e-6 and half precision by 1e-3."""


def require_vectors(embed: Embed, images: Tensor) -> int:
    """Check that images become finite vectors, one each, and return their width.

    Args:
        embed: what is checked.
        images: (B, 3, H, W) in [0, 1], at least two.

    Raises:
        BenchboxError: they do not.
    """
    embeddings = _embedded(embed, images)
    if embeddings.ndim != 2 or len(embeddings) != len(images):
        raise BenchboxError(
            f"{len(images)} images became embeddings of shape {tuple(embeddings.shape)}; expected "
            f"({len(images)}, D): one vector per image."
        )
    if not embeddings.is_floating_point():
        raise BenchboxError(f"the embeddings are {embeddings.dtype}; expected floating point.")
    if not bool(embeddings.isfinite().all()):
        raise BenchboxError(
            "the embeddings hold NaN or infinite values; check weights, mean, std and pixel range."
        )
    if bool((embeddings == embeddings[0]).all()):
        raise BenchboxError(
            "different images have one and the same embedding; check weights, mean, std and pixel "
            "range."
        )
    return int(embeddings.shape[1])


def is_random(embed: Embed, images: Tensor) -> bool:
    """Return whether two passes over the same images differ."""
    return _apart(_embedded(embed, images), _embedded(embed, images)) > 0


def require_deterministic(embed: Embed, images: Tensor) -> None:
    """Check that two passes give the same embeddings, to the last bit.

    Raises:
        BenchboxError: they differ.
    """
    if is_random(embed, images):
        raise BenchboxError(
            "two passes over the same images give different embeddings: something random acts in "
            "evaluation mode, such as F.dropout without training=self.training."
        )


def require_batch_independent(embed: Embed, images: Tensor) -> None:
    """Check that an image's embedding does not depend on the images beside it.

    A random embedding cannot be asked, and is not.

    Raises:
        BenchboxError: it does depend on them.
    """
    if is_random(embed, images):
        return
    together = _embedded(embed, images)
    rows = [slice(place, place + 1) for place in range(len(images))]
    alone = torch.cat([_embedded(of_rows(embed, row), images[row]) for row in rows])
    if (apart := _apart(together, alone)) > TOLERANCE:
        raise BenchboxError(
            f"an image's embedding depends on the batch it is in: alone and among others it "
            f"differs by {100 * apart:.2g} % of its length, so mAP would depend on the batch size. "
            "Batch statistics in a guard, or a batch norm in train mode?"
        )


def require_gradient(embed: Embed, images: Tensor) -> None:
    """Check that the embedding can be attacked: its gradient in the images is there and finite.

    Raises:
        BenchboxError: there is none, it is not finite, or it is zero everywhere.
    """
    with torch.enable_grad():
        points = images.detach().clone().requires_grad_()
        embeddings = embed(points)
        if not embeddings.requires_grad:
            raise BenchboxError(
                "the embeddings carry no gradient to the images: remove no_grad(), detach(), "
                ".data and NumPy from the model's forward pass."
            )
        # Not the sum of squares, which is constant on unit embeddings.
        target = torch.linspace(-1, 1, embeddings.shape[1], device=embeddings.device)
        (gradient,) = torch.autograd.grad((embeddings * target).sum(), points)
    if not bool(gradient.isfinite().all()):
        raise BenchboxError("the gradient of the embeddings in the images is not finite.")
    if not bool(gradient.any()):
        raise BenchboxError(
            "the gradient of the embeddings in the images is zero everywhere: rounding or a "
            "threshold in the model? Give it a backward pass (straight-through)."
        )


@torch.no_grad()
def _embedded(embed: Embed, images: Tensor) -> Tensor:
    return embed(images)


def _apart(first: Tensor, second: Tensor) -> float:
    """Return the largest distance of two embeddings of one image, as a share of their length."""
    length = torch.maximum(first.norm(dim=1), second.norm(dim=1)).clamp_min(1e-12)
    return float(((first - second).norm(dim=1) / length).max())
