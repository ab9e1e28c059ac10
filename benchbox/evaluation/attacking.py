"""Attacking the queries: the evaluator re-checks every adversarial image and never trusts."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor

from attacks import AnyAttack
from attacks.base import Aim, Found
from benchbox.data.images import to_unit
from benchbox.data.streaming import Images
from benchbox.evaluation.portions import in_portions
from benchbox.evaluation.real_images import in_eight_bits
from benchbox.evaluation.validity import require_valid
from benchbox.files.progress import Notice, Progress, silent, unheard
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


@torch.random.fork_rng(devices=[])
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
    first: int = 0,
    progress: Progress = silent,
    notice: Notice = unheard,
) -> list[AttackedQueries]:
    """Attack all queries at several budgets in one ascent each batch, and embed the results.

    A guard that draws from torch's own generator draws by the batch's place among all queries, so
    it draws the same for a range of them as for all, if the range begins where a batch does. Where
    memory runs out it draws by the place of the smaller portion; see `in_portions`.

    Args:
        embed: the defended model, differentiable, in evaluation mode.
        attack: steps, step size and objective; its own ``eps`` is not used.
        images: (Q, 3, H, W) uint8 clean queries.
        aim: of all queries, in the same order: ``attack.prepare(…)``, or its guides.
        budgets: each in [0, 1].
        generators: one per query, so that results do not depend on the batch.
        batch_size: queries at a time; fewer where memory runs out.
        device: where ``embed`` lives.
        ascend_on: the same model in another precision, for the attack's gradients alone; the
            results are embedded by ``embed`` all the same. None ascends on ``embed`` itself.
        keep: rows of the queries whose adversarial images are returned too.
        eight_bit: round what was found to 8 bits inside its ball before it is embedded.
        first: place of the first of these queries among all, where they are a range of them.
        progress: told after each batch.
        notice: told when memory runs out and fewer queries are attacked at a time.

    Raises:
        BenchboxError: an adversarial image leaves its ball or [0, 1], an embedding is not finite,
            or one query alone does not fit into memory.
    """
    aim = aim.to(device)

    def attacked(rows: slice, pixels: Tensor) -> list[AttackedQueries]:
        start = first + rows.start
        torch.manual_seed(start)
        clean = to_unit(pixels.to(device))
        wanted = [row for row in range(len(clean)) if rows.start + row in keep]
        model = of_rows(embed, rows)
        swept = attack.search(
            of_rows(ascend_on, rows) if ascend_on else model,
            clean,
            aim[rows],
            eps=budgets,
            # Copies, so that a try that ran out of memory has drawn nothing.
            generator=[generator.clone_state() for generator in generators[rows]],
            exact=model if ascend_on else None,
        )
        parts = []
        for eps, found in zip(budgets, swept, strict=True):
            if eight_bit:
                found = _in_eight_bits(found, clean, eps)
            features = _embedded(model, attack.name, eps, clean, found.images, start)
            deepest = features
            if found.deepest is not found.images:
                deepest = _embedded(model, attack.name, eps, clean, found.deepest, start)
            kept = found.images[wanted].cpu()
            parts.append(AttackedQueries(eps, features, deepest, found.part.cpu(), kept))
        return parts

    portions = []
    for rows, parts in in_portions(
        images, attacked, batch_size=batch_size, device=device, notice=notice
    ):
        portions.append(parts)
        progress(rows.stop / len(images), attack.title)
    return [joined(parts) for parts in zip(*portions, strict=True)]


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


def joined(parts: Sequence[AttackedQueries]) -> AttackedQueries:
    """Return several batches or ranges of the queries, attacked at one budget, as one."""
    return AttackedQueries(
        parts[0].eps,
        *(
            torch.cat([getattr(part, name) for part in parts])
            for name in ("features", "deepest", "part", "images")
        ),
    )
