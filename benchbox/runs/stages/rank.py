"""The ranking stage: the numbers of one cell."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from typing_extensions import override

from benchbox.evaluation.average_precision import ApConvention
from benchbox.evaluation.lowest_of import Scored, lowest_of
from benchbox.evaluation.ranking import Ints, Labels
from benchbox.evaluation.retrieval import Retrieval, evaluate_retrieval
from benchbox.files.atomic import write_json
from benchbox.runs.cost import Cost
from benchbox.runs.stages.attack import AttackStage
from benchbox.runs.stages.base import Stage, of_255
from benchbox.runs.stages.embed import EmbedStage
from benchbox.runs.stages.other_threats import GalleryStage
from benchbox.runs.stages.replay import ReplayStage
from benchbox.runs.workplace import Workplace

Ranked = Callable[[Tensor], Scored]
"""How queries of some embeddings (Q, D) retrieve in a gallery that is at hand."""


@dataclass(frozen=True)
class RankStage(Stage):
    """Rank the gallery for clean or attacked queries: the numbers of one cell.

    An attack may look for two points of each query, the one of the lowest AP and the one whose
    first match ranks deepest: mAP is taken of the former, Rank-k of the latter, mINP of whichever
    is lower.

    Attributes:
        clean: gives the gallery, and the queries if ``attacked`` is None.
        ap: the convention of average precision.
        attacked: gives the attacked queries: an attack on this model, or another model's replayed.
        budget: which of its budgets.
        pooled: further attacks on this model at this budget; of all of them, every query counts as
            the one that hurts it most leaves it.
    """

    kind: ClassVar[str] = "rank"
    code: ClassVar[tuple[str, ...]] = ("benchbox.evaluation",)
    on_device: ClassVar[bool] = False

    clean: EmbedStage
    ap: ApConvention
    attacked: AttackStage | ReplayStage | None = None
    budget: Fraction | None = None
    pooled: tuple[AttackStage, ...] = ()

    @property
    @override
    def title(self) -> str:
        if self.attacked is None or self.budget is None:
            return f"rank clean {self.clean.title.removeprefix('embed ')}"
        return f"rank {self.attacked.title} at {of_255(self.budget)}"

    @property
    @override
    def needs(self) -> tuple[Stage, ...]:
        return (self.clean, self.attacked, *self.pooled) if self.attacked else (self.clean,)

    @property
    @override
    def cost(self) -> Cost:
        counts = self.clean.data.counts
        return Cost(pairs=counts.query_images * counts.gallery_images * (1 + len(self.pooled)))

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
        query = self.clean.data.records(place, "query")
        scored = self.ranking(place)
        lone, draws, won = 0, 1, dict[str, int]()
        if self.attacked is None or self.budget is None:
            found = scored(self.clean.features(place)["query"])
        else:
            stages = (self.attacked, *self.pooled)
            found, winners = lowest_of(
                [self._under(place, stage, self.budget, scored) for stage in stages]
            )
            lone = self.attacked.lone_queries(place)
            draws = self.attacked.draws(place)
            won = self._won(place, found.valid, winners)
        write_json(
            folder / "result.json",
            {
                "mAP": 100 * found.mAP,
                "minp": 100 * found.mINP,
                **{f"rank{k}": 100 * found.rank(k) for k in (1, 5, 10)},
                "queries": int(found.valid.sum()),
                "skipped_queries": int((~found.valid).sum()),
                "gallery": len(self.clean.data.records(place, "gallery")),
                "lone_queries": lone,
                "draws": draws,
                "won": won,
                "channels": self._channels(place, scored),
            },
        )
        per_query = [
            {
                "query": record.key,
                "pid": record.pid,
                "ap": None if np.isnan(ap) else float(ap),
                "first_hit": int(hit),
                "inp": None if np.isnan(inp) else float(inp),
            }
            for record, ap, hit, inp in zip(
                query, found.ap, found.first_hit, found.inp, strict=True
            )
        ]
        write_json(folder / "per_query.json", per_query)

    def _channels(self, place: Workplace, scored: Ranked) -> dict[str, float]:
        """Return name → mAP in percent of this attack's own images after 8 bits and after JPEG."""
        if not isinstance(self.attacked, AttackStage) or self.budget is None:
            return {}
        passed = self.attacked.channels(place, self.budget)
        return {name: 100 * scored(of).mAP for name, of in passed.items()}

    def ranking(self, place: Workplace, *, attacked: Tensor | None = None) -> Ranked:
        """Return what says how queries of some embeddings (Q, D) retrieve in the gallery.

        The gallery is read once, however many embeddings are ranked against it.

        Args:
            place: where the stages are.
            attacked: (G, D) embeddings of an attacked gallery; None is the clean one.
        """
        data = self.clean.data
        gallery = self.clean.features(place)["gallery"] if attacked is None else attacked
        query_pids, query_camids = self.sought(place)
        gallery_pids = np.array([record.pid for record in data.records(place, "gallery")])
        gallery_camids = np.array(data.camids(place, "gallery"))
        labels = Labels(query_pids, gallery_pids, query_camids, gallery_camids)

        def scored(features: Tensor) -> Scored:
            found = self.retrieved(features, gallery, labels)
            return Scored(found.ap, found.first_hit, found.inp)

        return scored

    def retrieved(self, query: Tensor, gallery: Tensor, labels: Labels) -> Retrieval:
        """Return how queries (Q, D) retrieve in a gallery (G, D) by the plain distance."""
        whose = (labels.query_pids, labels.gallery_pids, labels.query_camids, labels.gallery_camids)
        return evaluate_retrieval(query, gallery, *whose, ap=self.ap)

    def sought(self, place: Workplace) -> tuple[Ints, Ints]:
        """Return (Q,) the identities that queries should retrieve, and cameras to leave out."""
        data = self.clean.data
        pids = np.array([record.pid for record in data.records(place, "query")])
        return pids, np.array(data.camids(place, "query"))

    def _under(
        self,
        place: Workplace,
        attacked: AttackStage | ReplayStage,
        budget: Fraction,
        scored: Ranked,
    ) -> Scored:
        """Return how the queries retrieve under an attack: AP of one point, first hit of another.

        For most attacks the two are the same. Where the gallery is attacked, queries are clean.
        """
        if isinstance(attacked, GalleryStage):
            changed = attacked.features(place, budget)
            return self.ranking(place, attacked=changed)(self.clean.features(place)["query"])
        lowest, deepest = attacked.features(place, budget), attacked.deepest(place, budget)
        found = scored(lowest)
        if torch.equal(lowest, deepest):
            return found
        other = scored(deepest)
        return Scored(found.ap, other.first_hit, np.minimum(found.inp, other.inp))

    def _won(self, place: Workplace, valid: npt.NDArray[np.bool_], winners: Ints) -> dict[str, int]:
        """Return which attack left how many queries their lowest AP.

        Parts of an ensemble are named after it, as ``worst_case.long``. Nothing is said where one
        attack had the queries for itself.

        Args:
            place: where the stages are.
            valid: (Q,) the queries that count.
            winners: (Q,) place among this cell's attack and those pooled.
        """
        attacked = self.attacked
        if not isinstance(attacked, AttackStage) or self.budget is None:
            return {}
        names = [
            *(f"{attacked.attack.name}.{part}" for part in attacked.attack.parts),
            *(stage.attack.name for stage in self.pooled),
        ]
        if len(names) == 1:
            return {}
        parts = attacked.parts(place, self.budget).numpy()
        own = winners == 0
        index = np.where(own, parts, winners - 1 + len(attacked.attack.parts))
        counts = np.bincount(index[valid], minlength=len(names)).tolist()
        return dict(zip(names, counts, strict=True))
