"""Origin: the undefended model, trained as the field trains its strong baseline."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from benchbox.models.reid import ReidModel
from benchbox.training.recipe import Batch, Recipe
from defenses.base import Defense


@dataclass(frozen=True, kw_only=True)
class Vanilla(Recipe):
    """Cross-entropy with label smoothing plus batch-hard triplet on clean images.

    Source: Luo et al. 2019, "Bag of Tricks and a Strong Baseline for Deep Person
    Re-identification"; the paper's "vanilla training (cross-entropy + triplet loss)".
    """

    name: ClassVar[str] = "vanilla"

    def losses(self, model: ReidModel, batch: Batch) -> dict[str, Tensor]:
        """Return L = L_cls(x, y) + L_tri(x)."""
        return self.identity_and_triplet(model, batch.images, batch.labels)


@dataclass(frozen=True, kw_only=True)
class Continued(Vanilla):
    """Vanilla training, twice: it starts from the vanilla weights and trains on clean images again.

    A control, not a defense: trained defenses that start from the vanilla weights see more epochs
    than Origin. Give it their number of epochs and their rate, and what is left of the difference
    is theirs.
    """

    name: ClassVar[str] = "vanilla_continued"

    start: Literal["backbone", "vanilla"] = "vanilla"


ORIGIN = Defense(
    name="origin", title="Origin", recipe=Vanilla(), source="Luo et al. 2019 (training); no defense"
)

ORIGIN_EQUAL_EPOCHS = Defense(
    name="origin_equal_epochs",
    title="Origin (equal epochs)",
    recipe=Continued(),
    source="control: Luo et al. 2019, for as many epochs as the trained defenses",
)
