"""Adv_train: online adversarial training with guides (GOAT)."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from typing_extensions import override

from benchbox.models.reid import ReidModel
from benchbox.training.recipe import Batch, Training
from defenses.adversarial import AdversarialRecipe
from defenses.base import Defense


@dataclass(frozen=True, kw_only=True)
class AdvTrain(AdversarialRecipe):
    """Train on the adversarial batch only: min_θ E [L_cls(x̂, y) + L_tri(x̂)], x̂ = FNA(x).

    The guides are the clean embeddings of the batch itself: pushed from the images of the own
    identity, pulled to the farthest other identity.

    Source: Bouniot, Audigier and Loesch 2020, and their published code: eps 5/255, 7 steps of
    1/255. Where we deviate: guides come from the batch (the code samples four images of the
    identity from the whole training set and pulls to the farthest image of the batch), there is
    no random start, and the attack runs in evaluation mode, as it does in the tables.
    """

    name: ClassVar[str] = "adv_train"

    eps: float = 5 / 255
    steps: int = 7
    step_size: float = 1 / 255

    @override
    def losses(self, model: ReidModel, batch: Batch) -> dict[str, Tensor]:
        """Return L = L_cls(x̂, y) + L_tri(x̂)."""
        return self.identity_and_triplet(model, self.attacked(model, batch), batch.labels)


ADV_TRAIN = Defense(
    name="adv_train",
    title="Adv_train",
    recipe=AdvTrain(),
    source="Bouniot, Audigier and Loesch 2020 (GOAT)",
)
ADV_TRAIN_AWP = Defense(
    name="adv_train_awp",
    title="Adv_train + AWP",
    recipe=AdvTrain(awp=0.005),
    source="Bouniot et al. 2020 with Wu et al. 2020",
)
ADV_TRAIN_EMA = Defense(
    name="adv_train_ema",
    title="Adv_train + EMA",
    recipe=AdvTrain(training=Training(ema=0.995)),
    source="Bouniot et al. 2020 with averaged weights (Gowal et al. 2020)",
)
