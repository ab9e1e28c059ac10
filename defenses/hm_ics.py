"""HM + ICS: triplets as hard as training can bear, and a bound on how far an anchor is moved."""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from attacks.in_training import ascend_batch, frozen
from benchbox.errors import BenchboxError
from benchbox.models.embed import Embed
from benchbox.models.reid import Features, ReidModel
from benchbox.training.recipe import Batch
from benchbox.training.training_set import TrainingSet
from defenses.base import Defense
from defenses.ranking_recipe import RankingRecipe
from defenses.triplets import Mining, distance, hardness, margin_loss


class LastLoss(nn.Module):
    """The triplet loss of the last step, by which the next one's hardness is chosen.

    Attributes:
        loss: L_{t−1}, a scalar.
    """

    loss: Tensor

    def __init__(self) -> None:
        super().__init__()
        # Above any margin: the first triplets are as easy as they come. The authors' value.
        self.register_buffer("loss", torch.tensor(2.0))


@dataclass(frozen=True, kw_only=True)
class HardnessManipulation(RankingRecipe):
    """Train on triplets whose hardness was raised to a target that rises as the loss falls.

    With h = d(a, p) − d(a, n) and the gradual adversary's target
    H_t = −m · clamp(L_{t−1}, 0, m) / m, which is semi-hard,

    - (a', p', n') = argmin Σ [H_t − h(a', p', n')]₊², each inside its ball: a triplet that is as
      hard as H_t is left alone;
    - L = [h(a', p', n') + m]₊ + λ · [d(a, a') − d(a, p)]₊, the second term the intra-class
      structure (ICS): an image must stay nearer to its attacked self than to a fellow.

    Source: Zhou and Patel 2022, "Enhancing Adversarial Robustness for Deep Metric Learning" (its
    HM[S, g] & ICS), values as in `RankingRecipe`, λ 0.5, source triplets soft-hard on clean
    embeddings. The log's robust numbers are of FNA at the same budget: a batch has no one x' here.

    Attributes:
        structure: λ.
    """

    name: ClassVar[str] = "hm_ics"

    mining: Mining = "soft_hard"
    structure: float = 0.5

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        if self.structure < 0:
            raise BenchboxError(f"hm_ics: expected structure ≥ 0, got {self.structure!r}")

    @property
    @override
    def step_cost(self) -> float:
        # Of each anchor three images are attacked, not one, and four trained on.
        return super().step_cost + 2 * 2 * self.steps / 3 + 3

    @override
    def companion(
        self, model: ReidModel, data: TrainingSet, *, seed: int, device: torch.device
    ) -> LastLoss:
        """Return the memory of the last loss."""
        return LastLoss().to(device)

    @override
    def losses(self, model: ReidModel, batch: Batch) -> dict[str, Tensor]:
        """Return the triplet loss of (a', p', n') and λ times the intra-class structure loss."""
        images, count = batch.images, len(batch.images)
        embed = frozen(model)
        with torch.no_grad():
            triplets = self.mined(embed(images), batch)
        rows = torch.cat(triplets)
        attacked = self.hardened(embed, images[rows], target=self.target(batch))
        features = model.features(torch.cat([images, attacked]))
        clean = features.embedding[:count]
        anchor, positive, negative = features.embedding[count:].chunk(3)
        triplet = margin_loss(hardness(anchor, positive, negative), margin=self.margin)
        own = clean[triplets.anchor]
        shift = distance(own, anchor) - distance(own, clean[triplets.positive])
        batch.companion.loss.copy_(triplet.detach())
        of_attacked = Features(*(part[count:] for part in features))
        return {
            "triplet": triplet,
            "structure": self.structure * F.relu(shift).mean(),
            **self.classified(of_attacked, batch.labels[rows]),
        }

    def target(self, batch: Batch) -> Tensor:
        """Return H_t, a scalar in [−m, 0]."""
        last: Tensor = batch.companion.loss
        return -last.clamp(0, self.margin)

    def hardened(self, embed: Embed, images: Tensor, *, target: Tensor) -> Tensor:
        """Return a', p' and n' of T triplets, (3T, 3, H, W).

        Args:
            embed: the model, evaluated.
            images: (3T, 3, H, W) the clean a, then p, then n.
            target: H_t.
        """

        def closeness(points: Tensor) -> Tensor:
            return -F.relu(target - hardness(*embed(points).chunk(3))).square().sum()

        return ascend_batch(
            closeness, images, eps=self.eps, steps=self.steps, step_size=self.step_size
        )

    @override
    def metrics(self, batch: Batch) -> dict[str, float]:
        """Return the hardness that the next step aims at."""
        return {"target_hardness": self.target(batch).item()}


HM_ICS = Defense(
    name="hm_ics",
    title="HM + ICS",
    recipe=HardnessManipulation(),
    source="Zhou and Patel 2022",
)
