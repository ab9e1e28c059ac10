"""The ranking stage of targeted attacks: how well queries retrieve whom they impersonate."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from typing_extensions import override

from benchbox.evaluation.ranking import Ints
from benchbox.files.atomic import write_json
from benchbox.runs.stages.other_threats import TargetedStage
from benchbox.runs.stages.rank import RankStage
from benchbox.runs.workplace import Workplace


@dataclass(frozen=True)
class TargetedRankStage(RankStage):
    """Rank the gallery for the identities that a targeted attack chose, not for the queries' own.

    It says how often the chosen identity stands first (success) and the mAP towards it, of the
    attacked queries and of the clean ones, which retrieve those identities by chance.
    """

    attacked: TargetedStage
    budget: Fraction

    @override
    def extra_code(self) -> set[str]:
        return {RankStage.__module__}

    @override
    def sought(self, place: Workplace) -> tuple[Ints, Ints]:
        pids, camids = self.attacked.chosen(place)
        return pids.numpy(), camids.numpy()

    @override
    def work(self, place: Workplace, folder: Path) -> None:
        scored = self.ranking(place)
        found = scored(self.attacked.features(place, self.budget))
        clean = scored(self.clean.features(place)["query"])
        write_json(
            folder / "result.json",
            {
                "success": 100 * found.rank(1),
                "mAP_towards": 100 * found.mAP,
                "clean_success": 100 * clean.rank(1),
                "clean_mAP_towards": 100 * clean.mAP,
                "queries": int(found.valid.sum()),
                "gallery": len(self.clean.data.records(place, "gallery")),
            },
        )
        chosen, _ = self.sought(place)
        records = self.clean.data.records(place, "query")
        per_query = [
            {"query": record.key, "pid": record.pid, "chosen": int(pid), "ap": float(ap)}
            for record, pid, ap in zip(records, chosen, found.ap, strict=True)
        ]
        write_json(folder / "per_query.json", per_query)
