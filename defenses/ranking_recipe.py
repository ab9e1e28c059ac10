"""What the defenses of deep ranking share: a triplet loss alone, on embeddings of unit length."""

from dataclasses import dataclass

from torch import Tensor
from typing_extensions import override

from benchbox.errors import BenchboxError
from benchbox.models.reid import Features
from benchbox.training.losses import identity_loss
from benchbox.training.recipe import Batch
from defenses.adversarial import AdversarialRecipe
from defenses.triplets import Mining, Triplets, mine, require_mining


@dataclass(frozen=True, kw_only=True)
class RankingRecipe(AdversarialRecipe):
    """A recipe whose loss is a triplet loss on the embeddings that are ranked.

    As published (Zhou et al. 2020 and 2021, Zhou and Patel 2022, and their common code, "robrank"):
    8/255, 32 steps of 1/255 (8 where time is short, says the code), margin 0.2 on the unit sphere,
    no classifier. Where we deviate: batches are P identities × K images (theirs are pairs), so
    every image with a fellow is an anchor; batch norms are trained (theirs are frozen); all that a
    step looks at goes through the network in one batch.

    Attributes:
        margin: m, between distances of embeddings of unit length.
        mining: which triplets of a batch count.
        identity: how much L_cls of the attacked images counts beside; the papers have none.

    Raises:
        BenchboxError: a value is out of its range.
    """

    eps: float = 8 / 255
    steps: int = 32
    step_size: float = 1 / 255
    margin: float = 0.2
    mining: Mining = "random"
    identity: float = 0.0

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        require_mining(self.mining)
        if self.margin < 0 or self.identity < 0:
            raise BenchboxError(
                f"{self.name}: expected margin ≥ 0 and identity ≥ 0, got {self.margin!r} and "
                f"{self.identity!r}"
            )

    def mined(self, embeddings: Tensor, batch: Batch) -> Triplets:
        """Return the batch's triplets by the distances of (B, D) embeddings."""
        return mine(embeddings, batch.labels, self.mining, generator=batch.generator)

    def classified(self, attacked: Features, labels: Tensor) -> dict[str, Tensor]:
        """Return L_cls of attacked images, weighed; nothing where it does not count."""
        if not self.identity:
            return {}
        smoothing = self.training.label_smoothing
        loss = identity_loss(attacked.logits, labels, smoothing=smoothing)
        return {"identity": self.identity * loss}
