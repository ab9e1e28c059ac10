"""How a model of our own is used: with the image's mirror or without, at which length."""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from benchbox.models.given import RankingDistance


@dataclass(frozen=True, slots=True)
class Use:
    """What is made of a trained model's embeddings; a `Given` says the same of a given one.

    Attributes:
        flip_test: take the mean of the embeddings of an image and its mirror.
        ranked_by: the distance that ranks; ``cosine`` scales that mean to unit length. Without the
            mirror embeddings have it anyway.
    """

    flip_test: bool = False
    ranked_by: RankingDistance = "euclidean"

    @property
    def scales(self) -> bool:
        """Whether what is ranked and attacked has unit length."""
        return not self.flip_test or self.ranked_by == "cosine"


class InUse(nn.Module):
    """A trained model as it is used, differentiable through both of the image's sides.

    Args:
        model: images (B, 3, H, W) in [0, 1] to embeddings (B, D).
        use: how it is used.
    """

    def __init__(self, model: nn.Module, use: Use) -> None:
        super().__init__()
        self.model = model
        self.use = use

    def forward(self, images: Tensor) -> Tensor:
        """Return the embeddings (B, D) of images (B, 3, H, W) in [0, 1]."""
        embedding: Tensor = self.model(images)
        if self.use.flip_test:
            embedding = (embedding + self.model(images.flip(3))) / 2
        return F.normalize(embedding) if self.use.ranked_by == "cosine" else embedding
