"""The classifier H on a frozen encoder E: fitted again on what E makes of clean images."""

from copy import deepcopy
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from benchbox.evaluation.embedding import embed_images
from benchbox.models.reid import ReidModel
from benchbox.training.losses import identity_loss


@dataclass(frozen=True)
class Head:
    """A linear classifier: logits = features · weightᵀ + bias.

    Attributes:
        weight: (classes, D) a row of weights for each class.
        bias: (classes,) what is added to the logits, or None where the model's classifier has none.
    """

    weight: Tensor
    bias: Tensor | None


@dataclass(frozen=True)
class Fit:
    """A re-fitted head and how well it is fitted.

    Attributes:
        head: the fitted head, float64, on the CPU.
        first_loss: the objective at the start.
        loss: the objective at the end.
        gradient: the largest absolute entry of the objective's gradient at the end; 0 at the
            optimum.
        evaluations: how often the objective was computed.
    """

    head: Head
    first_loss: float
    loss: float
    gradient: float
    evaluations: int


def head_of(model: ReidModel) -> Head:
    """Return a copy of a model's classifier."""
    bias = model.classifier.bias
    copied = None if bias is None else bias.detach().clone()
    return Head(model.classifier.weight.detach().clone(), copied)


def with_head(model: ReidModel, head: Head) -> ReidModel:
    """Return a copy of ``model``, evaluated, with another classifier; the encoder is the same."""
    copy = deepcopy(model).eval()
    with torch.no_grad():
        copy.classifier.weight.copy_(head.weight)
        if head.bias is not None:
            copy.classifier.bias.copy_(head.bias)
    return copy


def encode(model: ReidModel, images: Tensor, *, batch_size: int, device: torch.device) -> Tensor:
    """Return what the classifier reads, (N, D) float32 on the CPU, batch norms in eval mode.

    Args:
        model: its parameters, statistics and mode stay as they are.
        images: (N, 3, H, W) uint8, not augmented.
        batch_size: images at a time.
        device: where ``model`` lives.
    """
    mode = model.training
    model.eval()
    try:
        return embed_images(
            lambda batch: model.neck(model.pool(batch)),
            images,
            batch_size=batch_size,
            device=device,
        )
    finally:
        model.train(mode)


def fit_head(
    features: Tensor,
    labels: Tensor,
    start: Head,
    *,
    weight_decay: float,
    smoothing: float = 0.0,
    most: int = 2000,
) -> Fit:
    """Return the head that minimises mean L_ce(H(features), labels) + weight_decay / 2 · ‖H‖².

    The objective is strictly convex, so the optimum does not depend on the start: whoever
    fine-tunes from the adversarial head for long enough ends where a fresh head ends. L-BFGS on
    all features in float64 goes there without a schedule that could be chosen to please.

    Args:
        features: (N, D), fixed.
        labels: (N,) class indices.
        start: where to begin: the adversarially trained head, or zeros.
        weight_decay: above 0; without it a separable training set has no optimum.
        smoothing: of the labels, in [0, 1).
        most: evaluations of the objective.
    """
    points = features.double()
    parameters = [start.weight.detach().cpu().double().clone().to(points.device)]
    if start.bias is not None:
        parameters.append(start.bias.detach().cpu().double().clone().to(points.device))
    for parameter in parameters:
        parameter.requires_grad_()
    optimizer = torch.optim.LBFGS(
        parameters,
        max_iter=most,
        max_eval=most,
        history_size=30,
        tolerance_grad=1e-7,
        tolerance_change=0.0,
        line_search_fn="strong_wolfe",
    )
    losses: list[float] = []

    def objective() -> Tensor:
        optimizer.zero_grad()
        loss = identity_loss(F.linear(points, *parameters), labels, smoothing=smoothing)
        penalty = torch.stack([parameter.square().sum() for parameter in parameters]).sum()
        loss = loss + weight_decay / 2 * penalty
        loss.backward()  # type: ignore[no-untyped-call]
        losses.append(loss.item())
        return loss

    optimizer.step(objective)  # type: ignore[no-untyped-call]
    last = objective().item()
    slopes = [p.grad.abs().max().item() for p in parameters if p.grad is not None]
    weight, *rest = [parameter.detach().cpu() for parameter in parameters]
    return Fit(
        head=Head(weight, rest[0] if rest else None),
        first_loss=losses[0],
        loss=last,
        gradient=max(slopes),
        evaluations=len(losses),
    )


def zeros_like(head: Head) -> Head:
    """Return a fresh head of the same shape; the objective is convex, so zeros are fair."""
    return Head(
        torch.zeros_like(head.weight), None if head.bias is None else torch.zeros_like(head.bias)
    )
