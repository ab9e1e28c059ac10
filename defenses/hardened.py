"""A given model, hardened: trained on from the weights it came with, without its labels."""

from dataclasses import dataclass

from benchbox.errors import BenchboxError
from defenses.base import Defense
from defenses.fare import Fare


@dataclass(frozen=True, kw_only=True)
class Hardened(Defense):
    """A row whose model is given and then trained by FARE, beside the row of the model as it came.

    FARE asks for ``model(images)`` alone: no classifier, no labels, no feature of ours. The model
    is trained on the split of the dataset that its row is trained on, one network for each seed of
    the grid. ``[training]``, ``[defended]`` and ``[recipe.fare]`` hold; ``start`` does not, for it
    starts from what was given. The model stays in evaluation mode: many return something else in
    training, and its batch norms keep their statistics, as nothing of CLIP has any.

    Raises:
        BenchboxError: it has no model, or another recipe than `Fare`; or the model takes cameras
            or views, which training does not know.
    """

    def __post_init__(self) -> None:
        where = f"defense {self.name!r}"
        if self.model is None or not isinstance(self.recipe, Fare):
            raise BenchboxError(
                f"{where}: Hardened wants both: model (Given: what is hardened) and recipe "
                "(Fare(): it asks for nothing but embeddings)."
            )
        if self.model.cameras is not None or self.model.views is not None:
            raise BenchboxError(
                f"{where}: its model takes cameras or views, which no training of benchbox gives; "
                "it cannot be hardened here."
            )
