"""Adversarial weight perturbation: gradients are taken where the weights do worst nearby."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

Losses = dict[str, Tensor]


def perturbed_losses(
    model: nn.Module,
    worse: Callable[[], Tensor],
    losses: Callable[[], Losses],
    *,
    gamma: float,
) -> Losses:
    """Return losses whose values and gradients are those at θ + v, while the model stays at θ.

    v = γ ‖θ_l‖ ∇_l / ‖∇_l‖ for every layer l with a matrix or a kernel, ∇ of ``worse``; vectors
    (shifts, batch norms' scales) stay (Wu et al. 2020, "Adversarial Weight Perturbation Helps
    Robust Generalization", in one step). Running statistics are moved by ``losses``
    alone.

    Args:
        model: in training mode.
        worse: the loss that v is to raise, of the model as it stands.
        losses: what is minimised, of the model as it stands.
        gamma: γ.
    """
    weights = [p for p in model.parameters() if p.requires_grad]
    originals = [weight.detach().clone() for weight in weights]
    statistics = [buffer.clone() for buffer in model.buffers()]
    gradients = torch.autograd.grad(worse(), weights, allow_unused=True)
    for buffer, before in zip(model.buffers(), statistics, strict=True):
        buffer.copy_(before)
    try:
        _move(
            weights,
            [
                weight + gamma * weight.norm() / gradient.norm().clamp(min=1e-20) * gradient
                if gradient is not None and weight.ndim > 1
                else weight
                for weight, gradient in zip(originals, gradients, strict=True)
            ],
        )
        found = losses()
        total = torch.stack(list(found.values())).sum()
        slopes = torch.autograd.grad(total, weights, allow_unused=True)
    finally:
        _move(weights, originals)
    # A plane through θ: of value 0 there, and with the slopes that were found at θ + v.
    pairs = zip(weights, slopes, strict=True)
    plane = torch.stack([(w * slope).sum() for w, slope in pairs if slope is not None]).sum()
    first, *others = found
    return {
        first: found[first].detach() + (plane - plane.detach()),
        **{name: found[name].detach() for name in others},
    }


@torch.no_grad()
def _move(weights: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    for weight, value in zip(weights, values, strict=True):
        weight.copy_(value)
    # Autocast keeps half-precision copies of weights, and does not see that they moved.
    torch.clear_autocast_cache()
