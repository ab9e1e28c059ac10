"""A subject under the board's white-box attack, which every sanity check is held against.

A difference between two ways of treating the same queries counts when it exceeds `SMALLEST` points
of mAP and twice its standard error over the identities, paired.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchbox.leaderboard.sanity.inside_attacks import worst_case
from benchbox.leaderboard.sanity.subject import Floats, Subject
from benchbox.models.embed import of_rows
from benchbox.statistics.by_identity import by_identity

SMALLEST = 1.0
"""Points of mAP below which no difference counts."""


@dataclass(frozen=True)
class AttackedSubject:
    """A subject with the protocol's attack on it, made once for all checks.

    Attributes:
        subject: the defended model.
        sources: what gives the same queries, attacked on another model, by that model's title:
            for transfer.
    """

    subject: Subject
    sources: Mapping[str, Callable[[], Tensor]]

    @cached_property
    def swept(self) -> list[Tensor]:
        """The protocol's adversarial queries at each budget, the smallest first."""
        return self.subject.attacked(budgets=self.subject.budgets)

    @cached_property
    def by_budget(self) -> list[Floats]:
        """AP under the protocol's attack at each budget, the smallest first."""
        return [self.under(images) for images in self.swept]

    @property
    def white_box(self) -> Floats:
        """AP under the protocol's attack at the smallest budget."""
        return self.by_budget[0]

    @cached_property
    def worst_case(self) -> Floats | None:
        """AP under the protocol's worst case alone, at the smallest budget; None without one."""
        return worst_case(self.subject, self.subject.tier) if self.subject.tier else None

    @cached_property
    def random(self) -> bool:
        """Whether the same image gives different embeddings."""
        few = self.subject.clean[:8].to(self.subject.device)
        with torch.no_grad():
            embed = of_rows(self.subject.embed, slice(0, 8))
            return not torch.equal(embed(few), embed(few))

    @cached_property
    def chance(self) -> float:
        """The mAP (%) of embeddings drawn at random."""
        subject = self.subject
        generator = torch.Generator().manual_seed(0)
        drawn = torch.randn(len(subject.queries), subject.gallery.shape[1], generator=generator)
        return float(subject.ranked(torch.nn.functional.normalize(drawn)).mean())

    def change(self, before: Floats, after: Floats) -> tuple[float, float]:
        """Return by how many points mAP rises, and what of it may be chance."""
        return beyond_noise(before, after, self.subject.pids)

    @property
    def near_chance(self) -> float:
        """The mAP (%) up to which an attack has taken all there was to take."""
        return 2 * self.chance + SMALLEST

    def under(self, images: Tensor) -> Floats:
        """Return the AP of these versions of the queries."""
        return self.subject.average_precision(images)


def beyond_noise(before: Floats, after: Floats, pids: NDArray[np.int64]) -> tuple[float, float]:
    """Return after − before in points of mAP, and what of it may be chance.

    The queries of one identity agree, so that identities are what is drawn: the standard error is
    that of a mean of clusters.

    Args:
        before: (Q,) AP in percent.
        after: (Q,) of the same queries.
        pids: (Q,) whom they show.
    """
    paired = after - before
    mean = paired.mean()
    sums, _ = by_identity(paired - mean, pids)
    count = len(sums)
    error = np.sqrt(count / (count - 1) * (sums**2).sum()) / len(paired) if count > 1 else np.inf
    return float(mean), max(SMALLEST, 2 * float(error))
