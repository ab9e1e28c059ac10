"""The ranking stage: the numbers of one cell."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from typing_extensions import override

from benchbox.evaluation.retrieval import evaluate_retrieval
from benchbox.files.atomic import write_json
from benchbox.runs.stages.attack import AttackStage
from benchbox.runs.stages.base import Stage, of_255
from benchbox.runs.stages.embed import EmbedStage
from benchbox.runs.stages.replay import ReplayStage
from benchbox.runs.workplace import Workplace


@dataclass(frozen=True)
class RankStage(Stage):
    """Rank the gallery for clean or attacked queries: the numbers of one cell.

    Attributes:
        clean: gives the gallery, and the queries if ``attacked`` is None.
        ap: the convention of average precision.
        attacked: gives the attacked queries: an attack on this model, or another model's replayed.
        budget: which of its budgets.
    """

    kind: ClassVar[str] = "rank"
    code: ClassVar[tuple[str, ...]] = ("benchbox.evaluation",)

    clean: EmbedStage
    ap: Literal["trapezoid", "step"]
    attacked: AttackStage | ReplayStage | None = None
    budget: Fraction | None = None

    @property
    @override
    def title(self) -> str:
        if self.attacked is None or self.budget is None:
            return f"rank clean {self.clean.title.removeprefix('embed ')}"
        return f"rank {self.attacked.title} at {of_255(self.budget)}"

    @property
    @override
    def needs(self) -> tuple[Stage, ...]:
        return (self.clean, self.attacked) if self.attacked else (self.clean,)

    @property
    @override
    def cost(self) -> float:
        return 0.02

    @override
    def settings(self) -> dict[str, Any]:
        data = self.clean.data
        return {
            "dataset": data.digest,
            "ap": self.ap,
            "budget": str(self.budget) if self.budget is not None else None,
            **({"same_camera": data.same_camera} if data.same_camera != "ignore" else {}),
        }

    @override
    def work(self, place: Workplace, folder: Path) -> None:
        data = self.clean.data
        features = self.clean.features(place)
        dataset = place.dataset(data.name)
        query, gallery = dataset.query, dataset.gallery
        lone = 0
        if self.attacked is not None and self.budget is not None:
            features["query"] = self.attacked.features(place, self.budget)
            lone = self.attacked.lone_queries(place)
        result = evaluate_retrieval(
            features["query"],
            features["gallery"],
            np.array([record.pid for record in query]),
            np.array([record.pid for record in gallery]),
            np.array(dataset.query_camids),
            np.array(dataset.gallery_camids),
            ap=self.ap,
        )
        per_query = [
            {
                "query": record.key,
                "pid": record.pid,
                "ap": None if np.isnan(ap) else float(ap),
                "first_hit": int(hit),
            }
            for record, ap, hit in zip(query, result.ap, result.first_hit, strict=True)
        ]
        write_json(
            folder / "result.json",
            {
                "mAP": 100 * result.mAP,
                **{f"rank{k}": 100 * float(result.cmc[k - 1]) for k in (1, 5, 10)},
                "queries": result.queries,
                "skipped_queries": result.skipped,
                "gallery": len(gallery),
                "lone_queries": lone,
            },
        )
        write_json(folder / "per_query.json", per_query)
