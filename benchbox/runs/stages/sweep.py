"""The stage of every corruption at every severity."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from typing_extensions import override

from benchbox.files.atomic import write_json
from benchbox.runs.cost import Cost
from benchbox.runs.stages.corrupting import Corrupting
from benchbox.runs.workplace import Workplace


@dataclass(frozen=True)
class SweepStage(Corrupting):
    """Corrupt all queries by each corruption at each severity, the gallery being clean."""

    kind: ClassVar[str] = "sweep"

    @property
    @override
    def title(self) -> str:
        return f"each corruption on {self.clean.title.removeprefix('embed ')}"

    @property
    @override
    def cost(self) -> Cost:
        counts, each = self.clean.data.counts, len(self.corruption.each)
        return Cost(
            network=self.clean.passed(),
            embedded=each * counts.query_images,
            pairs=each * counts.query_images * counts.gallery_images,
            loads=1,
        )

    @override
    def settings(self) -> dict[str, Any]:
        found = super().settings()
        del found["corruption"]["repeats"]
        return found

    @override
    def work(self, place: Workplace, folder: Path) -> None:
        gallery = self.clean.features(place)["gallery"]
        embed = self.clean.embed(place, "query")
        queries = len(self.clean.data.records(place, "query"))
        lines = []
        for number, drawn in enumerate(self.corruption.each, start=1):
            chance = (self.seed, "each")
            query = self.embedded(place, embed, "query", [drawn] * queries, chance)
            scored = self.scored(place, query, gallery)
            lines.append(
                {
                    "corruption": drawn.corruption,
                    "severity": drawn.severity,
                    "mAP": 100 * scored.mAP,
                    "rank1": 100 * scored.rank(1),
                    "queries": int(scored.valid.sum()),
                    "gallery": len(gallery),
                }
            )
            place.report(number / len(self.corruption.each), drawn.corruption)
        write_json(folder / "sweep.json", lines)

    def lines(self, folder: Path) -> list[dict[str, Any]]:
        """Return what was measured: a line for each corruption and severity.

        Args:
            folder: of this stage in the store.
        """
        found: list[dict[str, Any]] = json.loads((folder / "sweep.json").read_text())
        return found
