"""Smooth-AP as an attack: the query set stands in for the gallery that the attacker lacks."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from typing_extensions import override

from attacks.base import Knowledge, ThreatModel
from attacks.briefing import Briefing
from attacks.rank_objectives import RankObjective, smooth_ap
from attacks.ranked_attack import RankedAttack
from attacks.ranking import Ranking


@dataclass(frozen=True, kw_only=True)
class SmoothAP(RankedAttack):
    """Lowers the smoothed AP (Brown et al. 2020) of a query in the query set.

    It knows what FNA, SMA and MetricIFGSM know, and takes as many gradients. Images of the own
    identity on other cameras are the matches; the query's own image is left out. A query without
    such a fellow moves away from its own clean embedding, as SMA does, from a random start. (On
    embeddings of unit length SMA is also ODFA, the opposite-direction attack: |e − g|² = 2 − 2 e·g
    is greatest where e = −g.)
    """

    name: ClassVar[str] = "smooth_ap"
    title: ClassVar[str] = "Smooth-AP"
    threat: ClassVar[ThreatModel] = "query"

    @override
    def prepare(self, known: Knowledge) -> Briefing:
        return Briefing(ranking=Ranking.among(known.query), draws=known.draws)

    @override
    def objective(self, temperature: float) -> RankObjective:
        return partial(smooth_ap, temperature=temperature)
