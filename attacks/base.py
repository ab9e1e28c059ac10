"""What an attack is to those who call it: a threat model, what it is told, and what it found."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, Generic, Literal, Protocol, Self, TypeVar

import torch
from torch import Tensor

from attacks.start import Generators
from benchbox.models.embed import Embed, Rows

ThreatModel = Literal["query", "query+gallery", "gallery", "targeted", "scores"]
"""What the attacker knows and may change, the weights being known in all but the last:

- ``query``: changes the queries, knows the query set (the attacks of the literature);
- ``query+gallery``: also knows the clean gallery, its identities and cameras (the worst case);
- ``gallery``: changes gallery images, the queries are clean;
- ``targeted``: changes a query so that it retrieves an identity of the attacker's choice;
- ``scores``: changes the queries, sees distances to the gallery, but neither weights nor gradients.
"""


class Score(Protocol):
    """How queries retrieve, as the evaluator counts it."""

    def __call__(self, embeddings: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return AP in [0, 1] and rank of the first match of some queries, (B,) each.

        Args:
            embeddings: (B, D), in the place of the queries' own.
            rows: (B,) which queries, as places in the query set.

        Returns:
            On the embeddings' device; NaN and 0 for queries without a valid match.
        """
        ...


def widened(features: Tensor) -> Tensor:
    """Return float embeddings in at least float32: half precision has too few digits to compare."""
    return features.to(torch.promote_types(features.dtype, torch.float32))


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """Images as an attacker knows them.

    Attributes:
        features: (N, D) clean embeddings, behind the guard if there is one.
        pids: (N,) int64; -1 is junk, 0 a distractor.
        camids: (N,) int64.
    """

    features: Tensor
    pids: Tensor
    camids: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Knowledge:
    """What an attack is told before it starts: no more than its threat model allows.

    Attributes:
        query: all queries.
        gallery: the clean gallery; None in the threat model ``query``.
        score: how the attacked queries retrieve in that gallery; None where ``gallery`` is.
        draws: how many draws of a randomised guard a gradient is averaged over; 1 where two
            passes over an image agree.
    """

    query: Labelled
    gallery: Labelled | None = None
    score: Score | None = None
    draws: int = 1


class Aim(Protocol):
    """What an attack made of its knowledge, for B images; ``aim[rows]`` selects some of them."""

    @property
    def lone(self) -> Tensor:
        """(B,) bool, whether the query has no fellow of its identity among what is known."""
        ...

    def __len__(self) -> int:
        """Return the number of images."""
        ...

    def __getitem__(self, rows: Rows) -> Self:
        """Return the aim of some images: a slice, integer indices or a boolean mask."""
        ...

    def to(self, device: torch.device | str) -> Self:
        """Return the same aim on ``device``."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What an attack found for B images at one budget.

    Attributes:
        images: (B, 3, H, W) in the ball and in [0, 1]: what mAP is taken of.
        deepest: (B, 3, H, W) likewise, those whose first match ranks deepest: what Rank-k is taken
            of. The same tensor, but for attacks that look for both.
        part: (B,) int64, which of ``attack.parts`` found each of ``images``.
    """

    images: Tensor
    deepest: Tensor
    part: Tensor


A = TypeVar("A", bound=Aim)


class AnyAttack(ABC, Generic[A]):
    """What the evaluator calls: `prepare` once, then `search` batch by batch.

    A concrete attack is a frozen dataclass, whose fields go into the provenance of every number.
    """

    name: ClassVar[str]
    """The registry's name, in lower case, as in grids and results files."""
    title: ClassVar[str]
    """The name in tables."""
    threat: ClassVar[ThreatModel]
    """What it must be told, and what it may change."""

    @property
    def parts(self) -> tuple[str, ...]:
        """The attacks it is made of, in order; one, its own, where it is not an ensemble."""
        return (self.name,)

    @property
    def passes(self) -> float:
        """About how many gradients it takes of an image at each budget: what it costs."""
        return float(getattr(self, "steps", 16))

    def gradients(self, eps: Sequence[float | Fraction]) -> float:
        """Return about how many gradients it takes of an image at all these budgets together."""
        return self.passes * len(eps)

    @abstractmethod
    def prepare(self, known: Knowledge) -> A:
        """Return the aim of all images that are attacked, in their order.

        Raises:
            BenchboxError: the knowledge does not fit together, is not finite, or is too little.
        """

    @abstractmethod
    def search(
        self,
        embed: Embed,
        images: Tensor,
        aim: A,
        *,
        eps: Sequence[float],
        generator: Generators | None = None,
        exact: Embed | None = None,
    ) -> list[Found]:
        """Return what was found for a batch, one for each budget.

        Args:
            embed: differentiable, images (B, 3, H, W) in [0, 1] to embeddings (B, D).
            images: (B, 3, H, W) float32 or float64, clean, in [0, 1].
            aim: of these images, ``attack.prepare(...)[batch]``.
            eps: the budgets in [0, 1].
            generator: of random starts: one, or one per image.
            exact: the model as it is ranked, where ``embed`` is a faster, coarser one.

        Raises:
            BenchboxError: images, aim or embeddings do not fit or are not finite.
        """
