"""EST: embedding-shifted triplet, the first defense of deep ranking."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from typing_extensions import override

from attacks import SMA, AscentAttack
from benchbox.models.reid import ReidModel
from benchbox.training.recipe import Batch
from defenses.base import Defense
from defenses.ranking_recipe import RankingRecipe
from defenses.triplets import hardness, margin_loss


@dataclass(frozen=True, kw_only=True)
class EmbeddingShiftedTriplet(RankingRecipe):
    """Train on images moved away from themselves: [d(a', p') − d(a', n') + m]₊.

    x' = argmax d(f(x'), f(x)) inside the ball, for every image of the batch (Zhou et al. 2020,
    "Adversarial Ranking Attack and Defense").

    Source: Zhou et al. 2020, values as in `RankingRecipe`. Where we deviate: x' is SMA's, which
    starts at a random point of the ball; the code starts at x and moves f(x) by 1e-7 for the
    first step, as there is no gradient at x.
    """

    name: ClassVar[str] = "est"

    @property
    @override
    def attack(self) -> AscentAttack:
        return SMA(eps=self.eps, steps=self.steps, step_size=self.step_size)

    @override
    def losses(self, model: ReidModel, batch: Batch) -> dict[str, Tensor]:
        """Return L_tri(x'), with L_cls(x', y) where ``identity`` asks for it."""
        features = model.features(self.attacked(model, batch))
        triplets = self.mined(features.embedding, batch)
        hard = hardness(*(features.embedding[rows] for rows in triplets))
        loss = {"triplet": margin_loss(hard, margin=self.margin)}
        return loss | self.classified(features, batch.labels)


EST = Defense(name="est", title="EST", recipe=EmbeddingShiftedTriplet(), source="Zhou et al. 2020")
