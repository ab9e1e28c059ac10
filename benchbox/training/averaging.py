"""Weights averaged over the steps of a training, which may be what it ends with."""

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


def averaged(model: nn.Module, *, decay: float) -> AveragedModel:
    """Return a copy of a model whose ``update_parameters`` moves it towards the model.

    θ̄ ← κ θ̄ + (1 − κ) θ with κ = min(decay, (1 + t) / (10 + t)) at step t, so that the start
    weights are soon forgotten; running statistics likewise (Izmailov et al. 2018; Gowal et al.
    2020, "Uncovering the Limits of Adversarial Training against Norm-Bounded Adversarial
    Examples", for adversarial training).

    Args:
        model: on the device to work on.
        decay: the largest κ, in (0, 1).
    """

    def blend(mean: Tensor, current: Tensor, updates: Tensor | int) -> Tensor:
        if not mean.is_floating_point():
            return current  # a counter
        done = torch.as_tensor(updates, dtype=mean.dtype, device=mean.device)
        return mean.lerp(current, 1 - ((1 + done) / (10 + done)).clamp(max=decay))

    return AveragedModel(model, avg_fn=blend, use_buffers=True)
