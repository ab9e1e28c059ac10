"""The re-ranking stage: the numbers of one cell where the gallery is ranked another way."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import Tensor
from typing_extensions import override

from benchbox.evaluation.ranking import Labels
from benchbox.evaluation.retrieval import Retrieval
from benchbox.reranking.base import Reranking, evaluate_reranked
from benchbox.runs.cost import Cost
from benchbox.runs.stages.base import parameters
from benchbox.runs.stages.rank import Ranked, RankStage
from benchbox.runs.workplace import Workplace


@dataclass(frozen=True)
class RerankStage(RankStage):
    """Re-rank the gallery for clean or attacked queries.

    A re-ranking looks at all queries together: under attack these are all attacked.

    Attributes:
        reranking: how distances are made.
    """

    kind: ClassVar[str] = "rerank"
    code: ClassVar[tuple[str, ...]] = (*RankStage.code, "benchbox.reranking")

    reranking: Reranking = field(kw_only=True)

    @classmethod
    def of(cls, rank: RankStage, reranking: Reranking) -> "RerankStage":
        """Return the re-ranking of what another stage ranks plainly."""
        return cls(
            rank.clean, rank.ap, rank.attacked, rank.budget, rank.pooled, reranking=reranking
        )

    @property
    @override
    def title(self) -> str:
        return f"{self.reranking.name}: {super().title}"

    @property
    @override
    def cost(self) -> Cost:
        counts = self.clean.data.counts
        images = counts.query_images + counts.gallery_images
        return Cost(pairs=images * images * (1 + len(self.pooled)))

    @override
    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "reranking": parameters(self.reranking)}

    @override
    def extra_code(self) -> set[str]:
        return {RankStage.__module__}

    @override
    def _channels(self, place: Workplace, scored: Ranked) -> dict[str, float]:
        """Return none: what 8 bits and JPEG leave is measured with the plain ranking."""
        return {}

    @override
    def retrieved(self, query: Tensor, gallery: Tensor, labels: Labels) -> Retrieval:
        return evaluate_reranked(self.reranking, query, gallery, labels, ap=self.ap)
