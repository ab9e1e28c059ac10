"""What attacks, guards and the evaluation take a model for."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

Embed = Callable[[Tensor], Tensor]
"""(B, 3, H, W) float32 in [0, 1] → (B, D): a model, with whatever guard stands before it.

An attack differentiates it; only then does it need a gradient to the pixels."""

Rows = slice | Sequence[int] | Tensor | np.ndarray
"""Some of the images: a slice, integer places or a boolean mask."""


@dataclass(frozen=True, eq=False)
class Bound:
    """An embedding bound to the ids of the images it will be called with.

    A model with camera embeddings (TransReID's SIE) takes an image's camera beside its pixels. An
    attack changes the pixels only, and goes through the same camera; whoever takes some of the
    images takes ``of_rows(embed, rows)`` with them.

    Attributes:
        embed: images (B, 3, H, W) and ids, (B,) each, to embeddings (B, D).
        ids: (N,) each, one entry per image.
    """

    embed: Callable[..., Tensor]
    ids: tuple[Tensor, ...]

    def __call__(self, images: Tensor) -> Tensor:
        """Return the embeddings (N, D) of the images the ids belong to, in their order."""
        return self.embed(images, *self.ids)

    def __getitem__(self, rows: Rows) -> "Bound":
        """Return the embedding for some of the images."""
        return Bound(self.embed, tuple(ids[rows] for ids in self.ids))


@contextmanager
def evaluated(embed: Embed) -> Iterator[None]:
    """Hold a model in evaluation mode, and give every module its own mode back.

    In train mode an attack would move batch norms' running statistics and follow dropout's dice.
    A plain function is left as it is: what it calls is its owner's affair.
    """
    model = embed.embed if isinstance(embed, Bound) else embed
    trained = [m for m in model.modules() if m.training] if isinstance(model, nn.Module) else []
    for module in trained:
        module.training = False
    try:
        yield
    finally:
        for module in trained:
            module.training = True


def of_rows(embed: Embed, rows: Rows) -> Embed:
    """Return an embedding for some of the images it is bound to; one that is not bound fits all."""
    return embed[rows] if isinstance(embed, Bound) else embed
