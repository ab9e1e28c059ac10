"""Self-meta learning: an inner step on half a batch, judged on the other half (Eq. 9–15)."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from benchbox.errors import BenchboxError
from benchbox.models.reid import Features, ReidModel, functional_features

Losses = dict[str, Tensor]
FeaturesOf = Callable[[Tensor], Features]


@dataclass(frozen=True, kw_only=True)
class Meta:
    """How the temporary model is made.

    The paper's temporary rate stands in a supplement that is not public; this one is ours, tuned
    on held-out training identities of Sidewalk.

    Attributes:
        lr: α, the temporary learning rate of the inner step (Eq. 9).
        second_order: differentiate through the inner step (Eq. 14); without, its gradient counts
            as a constant and the Hessian term is dropped (first-order MAML, Finn et al. 2017).
    """

    lr: float = 0.01
    second_order: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.lr < math.inf:
            raise BenchboxError(f"meta.lr: expected a positive number, got {self.lr!r}")


def split_by_identity(labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return the rows of meta-train and of meta-test, half of the batch's identities each.

    Args:
        labels: (B,) of at least two identities; with an odd number meta-train has one more.
        generator: of the draw, on the CPU.
    """
    identities = torch.unique(labels)
    order = torch.randperm(len(identities), generator=generator).to(labels.device)
    chosen = identities[order[: (len(identities) + 1) // 2]]
    in_train = torch.isin(labels, chosen)
    return in_train.nonzero().flatten(), (~in_train).nonzero().flatten()


def inner_step(
    loss: Tensor, parameters: Mapping[str, Tensor], *, lr: float, second_order: bool
) -> dict[str, Tensor]:
    """Return θ_temp = θ − α ∇L_meta-train(θ) (Eq. 9), one plain gradient step.

    With ``second_order`` the result is a differentiable function of θ twice over, as Eq. 14
    needs; without, only its first term is.
    """
    gradients = torch.autograd.grad(
        loss,
        list(parameters.values()),
        create_graph=second_order,
        retain_graph=True,  # the outer step goes through the same graph again
        allow_unused=True,
    )
    return {
        name: value if gradient is None else value - lr * gradient
        for (name, value), gradient in zip(parameters.items(), gradients, strict=True)
    }


def self_meta_losses(
    model: ReidModel,
    features: FeaturesOf,
    losses: Callable[[FeaturesOf, Tensor], Losses],
    rows: tuple[Tensor, Tensor],
    settings: Meta,
) -> tuple[Losses, Losses]:
    """Return the losses of meta-train at θ and of meta-test at θ_temp, whose sum is Eq. 12.

    Batch norm normalises each half by its own statistics. Running statistics are moved by
    meta-train alone: θ_temp is an imagined model, its activations are nobody's, so meta-test
    writes into copies that are thrown away.

    Args:
        model: in training mode.
        features: of the model at θ, from images.
        losses: from (a function from images to features, rows of the batch) to named losses:
            Eq. 10 and Eq. 11, the same for both.
        rows: of meta-train and of meta-test.
        settings: α and the order.
    """
    meta_train, meta_test = rows
    train_losses = losses(features, meta_train)
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    temporary = inner_step(
        torch.stack(list(train_losses.values())).sum(),
        parameters,
        lr=settings.lr,
        second_order=settings.second_order,
    )
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}

    def temporary_features(images: Tensor) -> Features:
        return functional_features(model, temporary | buffers, images)

    return train_losses, losses(temporary_features, meta_test)
