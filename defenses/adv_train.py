"""Adv_train: online adversarial training with guides (GOAT)."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from attacks import FNA
from attacks.in_training import attack_batch
from benchbox.models.reid import ReidModel
from benchbox.training.recipe import Batch, Recipe
from defenses.base import Defense


@dataclass(frozen=True, kw_only=True)
class AdvTrain(Recipe):
    """Train on the adversarial batch only: min_θ E [L_cls(x̂, y) + L_tri(x̂)], x̂ = FNA(x).

    The guides are the clean embeddings of the batch itself: pushed from the images of the own
    identity, pulled to the farthest other identity.

    Source: Bouniot, Audigier and Loesch 2020, and their published code: eps 5/255, 7 steps of
    1/255. Where we deviate: guides come from the batch (the code samples four images of the
    identity from the whole training set and pulls to the farthest image of the batch), there is
    no random start, and the attack runs in evaluation mode, as it does in the tables.

    Attributes:
        eps: budget in [0, 1].
        steps: of the attack.
        step_size: in [0, 1].
    """

    name: ClassVar[str] = "adv_train"

    eps: float = 5 / 255
    steps: int = 7
    step_size: float = 1 / 255

    def losses(self, model: ReidModel, batch: Batch) -> dict[str, Tensor]:
        """Return L = L_cls(x̂, y) + L_tri(x̂)."""
        attack = FNA(eps=self.eps, steps=self.steps, step_size=self.step_size)
        adversarial = attack_batch(
            attack, model, batch.images, batch.labels, generator=batch.generator
        )
        return self.identity_and_triplet(model, adversarial, batch.labels)


ADV_TRAIN = Defense(
    name="adv_train",
    title="Adv_train",
    recipe=AdvTrain(),
    source="Bouniot, Audigier and Loesch 2020 (GOAT)",
)
