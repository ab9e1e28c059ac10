"""DAS: adversarial training whose budget adapts to each image. The schedule is *our reading*."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from typing_extensions import override

from attacks.ascent import Ball, ascend
from attacks.gradient import ObjectiveGradient
from attacks.in_training import frozen
from benchbox.errors import BenchboxError
from benchbox.models.embed import Embed
from benchbox.models.reid import ReidModel
from benchbox.training.probing import nearest_is_same
from benchbox.training.recipe import Batch
from benchbox.training.training_set import TrainingSet
from defenses.adversarial import AdversarialRecipe
from defenses.base import Defense


class Budgets(nn.Module):
    """The budget of each training image, remembered between its visits.

    Attributes:
        eps: (N,) each training image's budget, in [0, 1].
    """

    eps: Tensor

    def __init__(self, images: int, eps: float) -> None:
        super().__init__()
        self.register_buffer("eps", torch.full((images,), eps))


@dataclass(frozen=True, kw_only=True)
class DynamicAttack(AdversarialRecipe):
    """Train on FNA whose budget e_i follows how robust image i already is.

    Wei et al. 2024 adapt the attack during training; their schedule is not public to us. *Our
    reading*: each image has a budget of its own, ``least`` at first. When it is visited at share
    t of the training, it is attacked with e_i, and then

    - e_i ← min(e_i + change, cap(t)) if it withstood: its attacked embedding is still nearest to
      a clean image of its identity among the other images of the batch;
    - e_i ← max(e_i − change, least) if it did not.

    cap(t) = least + (eps − least) · min(1, t / growth): no image meets the full budget early on,
    and images that cannot be defended yet are not attacked beyond what teaches them something.
    The loss is Adv_train's: L_cls(x̂, y) + L_tri(x̂).

    Source of the values: ``eps`` is the larger of the two measured budgets; the others are ours.

    Attributes:
        eps: the largest budget, in [0, 1].
        least: the smallest budget, in [0, 1].
        change: by how much a visit raises or lowers an image's budget.
        growth: the share of the training after which the largest budget is open.
        reach: each step has the size reach · e_i / steps, so that every budget is used to its
            edge; ``step_size`` is not used.

    Raises:
        BenchboxError: a value is out of its range.
    """

    name: ClassVar[str] = "das"

    eps: float = 10 / 255
    least: float = 4 / 255
    change: float = 1 / 255
    growth: float = 0.5
    reach: float = 1.25

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.least <= self.eps or not 0 < self.growth <= 1:
            raise BenchboxError(
                f"das: expected 0 ≤ least ≤ eps and 0 < growth ≤ 1, got least {self.least!r}, "
                f"eps {self.eps!r}, growth {self.growth!r}"
            )

    @override
    def companion(
        self, model: ReidModel, data: TrainingSet, *, seed: int, device: torch.device
    ) -> Budgets:
        """Return the budgets of all training images."""
        # On the CPU, whatever the device: there, rows that come twice are written in order.
        return Budgets(len(data.labels), self.least)

    @override
    def attacked(self, model: ReidModel, batch: Batch) -> Tensor:
        """Return x̂, each image inside its own budget."""
        _, adversarial = self._attack(frozen(model), batch)
        return adversarial

    @override
    def losses(self, model: ReidModel, batch: Batch) -> dict[str, Tensor]:
        """Return L = L_cls(x̂, y) + L_tri(x̂), and move the batch's budgets."""
        embed = frozen(model)
        clean, adversarial = self._attack(embed, batch)
        with torch.no_grad():
            withstood = nearest_is_same(embed(adversarial), clean, batch.labels)
        moved = self.adapted(budgets_of(batch), withstood, done=batch.done)
        batch.companion.eps[batch.rows] = moved.cpu()
        return self.identity_and_triplet(model, adversarial, batch.labels)

    def adapted(self, eps: Tensor, withstood: Tensor, *, done: float) -> Tensor:
        """Return (B,) the budgets after a visit.

        Args:
            eps: (B,) the budgets of the visit.
            withstood: (B,) bool, whether each image withstood its own.
            done: t, the share of the training that is done.
        """
        cap = self.least + (self.eps - self.least) * min(1.0, done / self.growth)
        moved = torch.where(withstood, eps + self.change, eps - self.change)
        return moved.clamp(self.least, cap)

    def _attack(self, embed: Embed, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the clean embeddings, which are the guides, and x̂."""
        with torch.no_grad():
            clean = embed(batch.images)
        guides = self.attack.guides(clean, batch.labels)
        gradient = ObjectiveGradient(embed, self.attack.objective, guides)
        radius = budgets_of(batch).view(-1, 1, 1, 1)
        ball = Ball.around(batch.images, radius)
        with torch.enable_grad():
            reached = ascend(
                batch.images,
                gradient,
                ball,
                steps=self.steps,
                step_size=self.reach * radius / self.steps,
            )
        return clean, ball.project(reached)

    @override
    def metrics(self, batch: Batch) -> dict[str, float]:
        """Return mean and standard deviation of all budgets, in 255ths."""
        eps = 255 * batch.companion.eps
        return {"budget_mean": eps.mean().item(), "budget_std": eps.std().item()}


def budgets_of(batch: Batch) -> Tensor:
    """Return (B,) the batch's budgets."""
    eps: Tensor = batch.companion.eps[batch.rows].to(batch.images.device)
    return eps


DAS = Defense(
    name="das",
    title="DAS (our reading)",
    recipe=DynamicAttack(),
    source="Wei et al. 2024; the schedule is our reading",
)
