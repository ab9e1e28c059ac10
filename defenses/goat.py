"""GOAT as its published code trains it: guides from the whole training set, a random start."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from attacks import Guides
from attacks.guides import Identities
from attacks.in_training import ascend_batch, frozen
from attacks.objective import push_and_pull
from attacks.start import uniform_noise
from benchbox.errors import BenchboxError
from benchbox.models.embed import Embed
from benchbox.models.reid import ReidModel
from benchbox.training.augmentation import augment
from benchbox.training.recipe import Batch
from benchbox.training.training_set import TrainingSet
from defenses.adversarial import AdversarialRecipe
from defenses.base import Defense


class Pool:
    """The training set as guides are drawn from it; nothing of it belongs into a checkpoint."""

    def __init__(self, data: TrainingSet) -> None:
        self.images = data.images
        self._identities = Identities.of(data.labels)

    def draw(self, labels: Tensor, generator: torch.Generator) -> Tensor:
        """Return (B,) rows of the training set, one of each label's identity, on the CPU."""
        of_label = self._identities.members[labels.cpu()]
        counts = self._identities.counts[labels.cpu()]
        place = (torch.rand(len(labels), generator=generator) * counts).long()
        return of_label.gather(1, place[:, None]).flatten()

    def state_dict(self) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        """Take up nothing."""


@dataclass(frozen=True, kw_only=True)
class Goat(AdversarialRecipe):
    """Train on x̂ alone, pushed from training images of the identity: L_cls(x̂, y) + L_tri(x̂).

    x̂ = argmax Σ_i |f(x̂) − f(g_i)|² − |f(x̂) − f(q)|² from a random point of the ball, where the
    g_i are ``guides`` images drawn anew, with replacement, from all of the identity in the
    training set, and q is the image of the batch that is farthest from x. Guides are embedded as
    the model is at this step, never remembered.

    Source: Bouniot, Audigier and Loesch 2020, and their published code: 5/255, 7 steps of 1/255,
    four push guides and one pull guide. Where we deviate: the attack runs in evaluation mode, on
    pixels (the code's ball is one of normalised pixels, where 5/255 is about a fifth of ours),
    guides are augmented anew whenever they are drawn (the code's once and for all), and L is the
    pair of losses that all rows have (theirs is one of the two). `AdvTrain` takes its guides
    from the batch.

    Attributes:
        guides: how many push guides an image has.
    """

    name: ClassVar[str] = "goat"

    eps: float = 5 / 255
    steps: int = 7
    step_size: float = 1 / 255
    guides: int = 4

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        if self.guides < 1:
            raise BenchboxError(f"goat: expected guides of 1 or more, got {self.guides!r}")

    @property
    @override
    def step_cost(self) -> float:
        # Beside the attack, each guide is a forward pass.
        return super().step_cost + self.guides / 3

    @override
    def companion(
        self, model: ReidModel, data: TrainingSet, *, seed: int, device: torch.device
    ) -> Pool:
        """Return the training set, to draw guides from."""
        return Pool(data)

    @override
    def attacked(self, model: ReidModel, batch: Batch) -> Tensor:
        """Return x̂."""
        embed, images = frozen(model), batch.images
        guides = self.drawn(embed, batch)

        def away(points: Tensor) -> Tensor:
            return push_and_pull(embed(points), guides, distance="squared").sum()

        start = images + self.eps * uniform_noise(images, range(len(images)), batch.generator)
        return ascend_batch(
            away, images, eps=self.eps, steps=self.steps, step_size=self.step_size, start=start
        )

    @torch.no_grad()
    def drawn(self, embed: Embed, batch: Batch) -> Guides:
        """Return the guides of a batch: ``guides`` push guides and one pull guide an image."""
        pool, count, device = batch.companion, len(batch.images), batch.images.device
        policy = self.training.augmentation
        clean = embed(batch.images)
        pushing = [
            embed(
                augment(
                    pool.images[pool.draw(batch.labels, batch.generator)].to(device),
                    policy,
                    batch.generator,
                )
            )
            for _ in range(self.guides)
        ]
        rows = torch.arange(count, device=device)
        farthest = torch.cdist(clean, clean).fill_diagonal_(-torch.inf).argmax(1)
        push = rows[:, None] + count * torch.arange(1, self.guides + 1, device=device)
        return Guides(
            bank=torch.cat([clean, *pushing]),
            push=push,
            push_weight=clean.new_ones(push.shape),
            pull=farthest[:, None],
            pull_weight=clean.new_ones(count, 1),
            lone=torch.zeros_like(rows, dtype=torch.bool),
        )

    @override
    def losses(self, model: ReidModel, batch: Batch) -> dict[str, Tensor]:
        """Return L = L_cls(x̂, y) + L_tri(x̂)."""
        return self.identity_and_triplet(model, self.attacked(model, batch), batch.labels)


GOAT = Defense(
    name="goat",
    title="GOAT",
    recipe=Goat(),
    source="Bouniot, Audigier and Loesch 2020, as their code has it",
)
