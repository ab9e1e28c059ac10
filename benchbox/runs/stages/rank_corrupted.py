"""The ranking stage of corrupted images: means over repeats, with their spread."""

from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, ClassVar

import numpy as np
from typing_extensions import override

from attacks.corruption import Side
from benchbox.evaluation.lowest_of import Scored
from benchbox.files.atomic import write_json
from benchbox.runs.cost import Cost
from benchbox.runs.stages.base import Stage
from benchbox.runs.stages.corrupt import CorruptStage
from benchbox.runs.stages.embed import EmbedStage
from benchbox.runs.workplace import Workplace

_RANKS = (1, 5, 10)


@dataclass(frozen=True)
class CorruptedRankStage(Stage):
    """Say how queries retrieve where one side or both are corrupted: the numbers of one cell.

    A query's AP is the mean over repeats; its first match has a rank in each.

    Attributes:
        corrupted: the rankings of all repeats.
        side: which images are corrupted.
    """

    kind: ClassVar[str] = "rank"
    code: ClassVar[tuple[str, ...]] = ("benchbox.evaluation.lowest_of",)
    on_device: ClassVar[bool] = False

    corrupted: CorruptStage
    side: Side

    @property
    def clean(self) -> EmbedStage:
        """The clean embeddings of the model and data."""
        return self.corrupted.clean

    @property
    def ap(self) -> str:
        """The convention of average precision."""
        return self.corrupted.ap

    @property
    @override
    def title(self) -> str:
        return f"rank {self.side} of {self.corrupted.title}"

    @property
    @override
    def needs(self) -> tuple[Stage, ...]:
        return (self.corrupted,)

    @property
    @override
    def cost(self) -> Cost:
        return Cost()

    @override
    def settings(self) -> dict[str, Any]:
        return {"side": self.side}

    @override
    def work(self, place: Workplace, folder: Path) -> None:
        data = self.clean.data
        repeats = self.corrupted.repeats(place, self.side)
        numbers = [in_percent(scored) for scored in repeats]
        valid = repeats[0].valid
        columns = {name: [each[name] for each in numbers] for name in numbers[0]}
        write_json(
            folder / "result.json",
            {
                **{name: fmean(values) for name, values in columns.items()},
                "queries": int(valid.sum()),
                "skipped_queries": int((~valid).sum()),
                "gallery": len(data.records(place, "gallery")),
                "lone_queries": 0,
                "draws": 1,
                "won": {},
                "channels": {},
                "repeats": len(repeats),
                "spread": {name: stdev(of) for name, of in columns.items() if len(of) > 1},
            },
        )
        mean_ap = np.stack([scored.ap for scored in repeats]).mean(axis=0)
        first_hits = np.stack([scored.first_hit for scored in repeats], axis=1)
        per_query = [
            {
                "query": record.key,
                "pid": record.pid,
                "ap": float(ap) if counts else None,
                "first_hits": hits.tolist(),
            }
            for record, ap, counts, hits in zip(
                data.records(place, "query"), mean_ap, valid, first_hits, strict=True
            )
        ]
        write_json(folder / "per_query.json", per_query)


def in_percent(scored: Scored) -> dict[str, float]:
    """Return mAP, mINP and Rank-1, -5 and -10 in percent."""
    means = {"mAP": 100 * scored.mAP, "minp": 100 * scored.mINP}
    return {**means, **{f"rank{k}": 100 * scored.rank(k) for k in _RANKS}}
