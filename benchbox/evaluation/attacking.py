"""Attacking the queries: the evaluator re-checks every adversarial image and never trusts."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from attacks import Attack, Guides
from benchbox.data.images import to_unit
from benchbox.evaluation.validity import require_valid
from benchbox.files.progress import Progress, silent
from benchbox.models.embed import Embed, of_rows


@dataclass(frozen=True, slots=True)
class AttackedQueries:
    """The queries after an attack at one budget.

    Attributes:
        eps: the budget, in [0, 1].
        features: (Q, D) embeddings of the adversarial queries, on the CPU.
        images: (K, 3, H, W) the adversarial queries that were to be kept, in [0, 1], on the CPU,
            in the order of the queries.
    """

    eps: float
    features: Tensor
    images: Tensor


def attack_queries(
    embed: Embed,
    attack: Attack,
    images: Tensor,
    guides: Guides,
    *,
    budgets: Sequence[float],
    generators: Sequence[torch.Generator],
    batch_size: int,
    device: torch.device,
    ascend_on: Embed | None = None,
    keep: Collection[int] = (),
    progress: Progress = silent,
) -> list[AttackedQueries]:
    """Attack all queries at several budgets in one ascent each batch, and embed the results.

    Args:
        embed: the defended model, differentiable, in evaluation mode.
        attack: steps, step size and objective; its own ``eps`` is not used.
        images: (Q, 3, H, W) uint8 clean queries.
        guides: of all queries, in the same order.
        budgets: each in [0, 1].
        generators: one per query, so that results do not depend on the batch.
        batch_size: queries at a time.
        device: where ``embed`` lives.
        ascend_on: the same model in another precision, for the attack's gradients alone; the
            results are embedded by ``embed`` all the same. None ascends on ``embed`` itself.
        keep: rows of the queries whose adversarial images are returned too.
        progress: told after each batch.

    Raises:
        BenchboxError: an adversarial image leaves its ball or [0, 1], or an embedding is not
            finite.
    """
    features: list[list[Tensor]] = [[] for _ in budgets]
    kept: list[list[Tensor]] = [[] for _ in budgets]
    guides = guides.to(device)
    for start in range(0, len(images), batch_size):
        rows = slice(start, start + batch_size)
        clean = to_unit(images[rows].to(device))
        wanted = [row for row in range(len(clean)) if start + row in keep]
        model = of_rows(embed, rows)
        swept = attack.sweep(
            of_rows(ascend_on, rows) if ascend_on else model,
            clean,
            guides[rows],
            eps=budgets,
            generator=list(generators[rows]),
        )
        for index, (eps, adversarial) in enumerate(zip(budgets, swept, strict=True)):
            with torch.no_grad():
                embedded = model(adversarial).float()
            require_valid(clean, adversarial, embedded, eps=eps, attack=attack.name, first=start)
            features[index].append(embedded.cpu())
            kept[index].append(adversarial[wanted].cpu())
        progress(min(1.0, (start + batch_size) / len(images)), attack.title)
    return [
        AttackedQueries(eps, torch.cat(parts), torch.cat(pictures))
        for eps, parts, pictures in zip(budgets, features, kept, strict=True)
    ]
