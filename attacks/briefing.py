"""What attacks on a ranking make of their knowledge."""

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor
from typing_extensions import override

from attacks.base import Score
from attacks.ranking import Ranking
from benchbox.models.embed import Rows


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Briefing:
    """What an attack on the ranking of B queries knows; ``briefing[rows]`` selects queries.

    Attributes:
        ranking: whom the queries are ranked against.
        draws: how many draws of a randomised guard a gradient is averaged over.
    """

    ranking: Ranking
    draws: int

    @property
    def lone(self) -> Tensor:
        """(B,) bool, whether the query has no match among what is known."""
        return self.ranking.lone

    def __len__(self) -> int:
        """Return the number of queries."""
        return len(self.ranking)

    def __getitem__(self, rows: Rows) -> Self:
        """Return the briefing of some queries: a slice, integer indices or a boolean mask."""
        return replace(self, ranking=self.ranking[rows])

    def to(self, device: torch.device | str) -> Self:
        """Return the same briefing on ``device``."""
        return replace(self, ranking=self.ranking.to(device))


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Inside(Briefing):
    """What an attacker knows who sits in the evaluation.

    Attributes:
        score: how the queries retrieve.
        finished: (B,) float64, the AP at or below which there is nothing left to take.
        chance: (B,) float64, the expected AP of a random ranking; both are infinite where a query
            has no match and therefore does not count.
    """

    score: Score
    finished: Tensor
    chance: Tensor

    @override
    def __getitem__(self, rows: Rows) -> Self:
        index = rows if isinstance(rows, slice) else torch.as_tensor(rows)
        ranking = self.ranking[rows]
        return replace(
            self, ranking=ranking, finished=self.finished[index], chance=self.chance[index]
        )

    @override
    def to(self, device: torch.device | str) -> Self:
        return replace(
            self,
            ranking=self.ranking.to(device),
            finished=self.finished.to(device),
            chance=self.chance.to(device),
        )
