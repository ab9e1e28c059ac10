"""ACT: anti-collapse triplet, trained on positives and negatives that were pulled together."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from attacks.in_training import ascend_batch, frozen
from benchbox.models.embed import Embed
from benchbox.models.reid import Features, ReidModel
from benchbox.training.recipe import Batch
from defenses.base import Defense
from defenses.ranking_recipe import RankingRecipe
from defenses.triplets import Triplets, distance, hardness, margin_loss


@dataclass(frozen=True, kw_only=True)
class AntiCollapseTriplet(RankingRecipe):
    """Train on collapsed pairs: [d(a, p') − d(a, n') + m]₊, a clean.

    (p', n') = argmin d(f(p'), f(n')), each inside the ball around its image (Zhou et al. 2021,
    "Adversarial Attack and Defense in Deep Ranking", the anti-collapse triplet).

    Source: Zhou et al. 2021, values as in `RankingRecipe`; triplets are drawn on clean embeddings.
    The log's robust numbers are of FNA at the same budget: a batch has no one x' here.
    """

    name: ClassVar[str] = "act"

    @property
    @override
    def step_cost(self) -> float:
        # Of each anchor two images are attacked, not one, and three trained on.
        return super().step_cost + 2 * self.steps / 3 + 2

    @override
    def losses(self, model: ReidModel, batch: Batch) -> dict[str, Tensor]:
        """Return [d(a, p') − d(a, n') + m]₊, with L_cls of p' and n' where it is asked for."""
        embed = frozen(model)
        with torch.no_grad():
            triplets = self.mined(embed(batch.images), batch)
        collapsed = self.collapsed(embed, batch.images, triplets)
        features = model.features(torch.cat([batch.images, collapsed]))
        attacked = Features(*(part[len(batch.images) :] for part in features))
        anchor = features.embedding[triplets.anchor]
        hard = hardness(anchor, *attacked.embedding.chunk(2))
        labels = batch.labels[torch.cat([triplets.positive, triplets.negative])]
        loss = {"triplet": margin_loss(hard, margin=self.margin)}
        return loss | self.classified(attacked, labels)

    def collapsed(self, embed: Embed, images: Tensor, triplets: Triplets) -> Tensor:
        """Return p' and n' of T triplets, (2T, 3, H, W), all p' first.

        Args:
            embed: the model, evaluated.
            images: (B, 3, H, W) the batch.
            triplets: of it.
        """

        def nearness(points: Tensor) -> Tensor:
            positive, negative = embed(points).chunk(2)
            return -distance(positive, negative).sum()

        pairs = images[torch.cat([triplets.positive, triplets.negative])]
        return ascend_batch(
            nearness, pairs, eps=self.eps, steps=self.steps, step_size=self.step_size
        )


ACT = Defense(name="act", title="ACT", recipe=AntiCollapseTriplet(), source="Zhou et al. 2021")
