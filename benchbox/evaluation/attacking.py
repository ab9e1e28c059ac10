"""Attacking the queries: the evaluator re-checks every adversarial image and never trusts."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor

from attacks import AnyAttack
from attacks.base import Aim, Found
from benchbox.data.images import to_unit
from benchbox.data.streaming import Images, in_batches
from benchbox.evaluation.real_images import in_eight_bits
from benchbox.evaluation.validity import require_valid
from benchbox.files.progress import Progress, silent
from benchbox.models.embed import Embed, of_rows

A = TypeVar("A", bound=Aim)

MOST_PAIRS = 2**25
"""Of query and gallery image, that an attack may hold: 134 MB a matrix. 256 queries still go
together in a gallery of 131,072 images, 64 in one of 524,288."""


@dataclass(frozen=True, slots=True)
class AttackedQueries:
    """The queries after an attack at one budget.

    Attributes:
        eps: the budget, in [0, 1].
        features: (Q, D) embeddings of the adversarial queries, on the CPU.
        deepest: (Q, D) of those whose first match ranks deepest, of which Rank-k is taken; equal to
            ``features`` for attacks that look for one point only.
        part: (Q,) int64, which of ``attack.parts`` found each.
        images: (K, 3, H, W) the adversarial queries that were to be kept, in [0, 1], on the CPU,
            in the order of the queries.
    """

    eps: float
    features: Tensor
    deepest: Tensor
    part: Tensor
    images: Tensor


def attack_queries(
    embed: Embed,
    attack: AnyAttack[A],
    images: Images,
    aim: A,
    *,
    budgets: Sequence[float],
    generators: Sequence[torch.Generator],
    batch_size: int,
    device: torch.device,
    ascend_on: Embed | None = None,
    keep: Collection[int] = (),
    eight_bit: bool = False,
    progress: Progress = silent,
) -> list[AttackedQueries]:
    """Attack all queries at several budgets in one ascent each batch, and embed the results.

    Args:
        embed: the defended model, differentiable, in evaluation mode.
        attack: steps, step size and objective; its own ``eps`` is not used.
        images: (Q, 3, H, W) uint8 clean queries.
        aim: of all queries, in the same order: ``attack.prepare(…)``, or its guides.
        budgets: each in [0, 1].
        generators: one per query, so that results do not depend on the batch.
        batch_size: queries at a time.
        device: where ``embed`` lives.
        ascend_on: the same model in another precision, for the attack's gradients alone; the
            results are embedded by ``embed`` all the same. None ascends on ``embed`` itself.
        keep: rows of the queries whose adversarial images are returned too.
        eight_bit: round what was found to 8 bits inside its ball before it is embedded.
        progress: told after each batch.

    Raises:
        BenchboxError: an adversarial image leaves its ball or [0, 1], or an embedding is not
            finite.
    """
    results: list[list[AttackedQueries]] = [[] for _ in budgets]
    aim = aim.to(device)
    for rows, batch in in_batches(images, batch_size):
        start = rows.start
        clean = to_unit(batch.to(device))
        wanted = [row for row in range(len(clean)) if start + row in keep]
        model = of_rows(embed, rows)
        swept = attack.search(
            of_rows(ascend_on, rows) if ascend_on else model,
            clean,
            aim[rows],
            eps=budgets,
            generator=list(generators[rows]),
            exact=model if ascend_on else None,
        )
        for eps, found, parts in zip(budgets, swept, results, strict=True):
            if eight_bit:
                found = _in_eight_bits(found, clean, eps)
            features = _embedded(model, attack.name, eps, clean, found.images, start)
            deepest = features
            if found.deepest is not found.images:
                deepest = _embedded(model, attack.name, eps, clean, found.deepest, start)
            kept = found.images[wanted].cpu()
            parts.append(AttackedQueries(eps, features, deepest, found.part.cpu(), kept))
        progress(min(1.0, rows.stop / len(images)), attack.title)
    return [_joined(parts) for parts in results]


def queries_at_once(batch_size: int, gallery: int) -> int:
    """Return how many queries to attack at a time where each is ranked in a gallery of some size.

    That is the batch size, but at most `MOST_PAIRS` pairs of query and gallery image.
    """
    return max(1, min(batch_size, MOST_PAIRS // max(1, gallery)))


def _in_eight_bits(found: Found, clean: Tensor, eps: float) -> Found:
    images = in_eight_bits(found.images, clean, eps=eps)
    if found.deepest is found.images:
        return replace(found, images=images, deepest=images)
    return replace(found, images=images, deepest=in_eight_bits(found.deepest, clean, eps=eps))


def _embedded(
    embed: Embed, attack: str, eps: float, clean: Tensor, adversarial: Tensor, start: int
) -> Tensor:
    """Return the embeddings of adversarial images on the CPU, images and embeddings checked."""
    with torch.no_grad():
        features = embed(adversarial).float()
    require_valid(clean, adversarial, features, eps=eps, attack=attack, first=start)
    return features.cpu()


def _joined(parts: Sequence[AttackedQueries]) -> AttackedQueries:
    """Return the queries of several batches, attacked at one budget, as one."""
    return AttackedQueries(
        parts[0].eps,
        *(
            torch.cat([getattr(part, name) for part in parts])
            for name in ("features", "deepest", "part", "images")
        ),
    )
