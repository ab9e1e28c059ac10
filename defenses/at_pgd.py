"""AT_PGD: adversarial training on the classifier's cross-entropy."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn
from typing_extensions import override

from attacks.in_training import frozen
from attacks.pgd import classifier_pgd
from benchbox.models.reid import ReidModel
from benchbox.training.recipe import Batch
from defenses.adversarial import AdversarialRecipe
from defenses.base import Defense


@dataclass(frozen=True, kw_only=True)
class ATPGD(AdversarialRecipe):
    """Train on what fools the classifier: min_θ E [L_cls(x̂, y) + L_tri(x̂)], x̂ = PGD(x, y).

    PGD ascends L_ce(H(E(x)), y) from a random start (Madry et al. 2018), so robustness may settle
    in the classifier H, which retrieval throws away: the paper's Table 4.

    Source: Madry et al. 2018, whose CIFAR-10 budget and steps are the defaults; training on the
    adversarial images alone is theirs too, the triplet loss beside L_cls is the field's.
    """

    name: ClassVar[str] = "at_pgd"

    @override
    def attacked(self, model: ReidModel, batch: Batch) -> Tensor:
        """Return x̂ = PGD(x, y)."""
        return classifier_pgd(
            frozen(_Classifier(model)),
            batch.images,
            batch.labels,
            eps=self.eps,
            steps=self.steps,
            step_size=self.step_size,
            generator=batch.generator,
        )

    @override
    def losses(self, model: ReidModel, batch: Batch) -> dict[str, Tensor]:
        """Return L = L_cls(x̂, y) + L_tri(x̂)."""
        return self.identity_and_triplet(model, self.attacked(model, batch), batch.labels)


class _Classifier(nn.Module):
    """G = H(E(·)): a model whose forward pass gives the logits."""

    def __init__(self, model: ReidModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model.features(images).logits


AT_PGD = Defense(
    name="at_pgd",
    title="AT_PGD",
    recipe=ATPGD(),
    source="Madry et al. 2018, as in Table 4 of Zhou et al. 2025",
)
