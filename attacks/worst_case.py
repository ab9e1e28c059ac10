"""The worst case: an ensemble of ascents on the ranking of the clean gallery itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, get_args

import torch
from torch import Tensor
from typing_extensions import override

from attacks.ascent_attack import require_budget, unit_images
from attacks.base import AnyAttack, Found, Knowledge, ThreatModel
from attacks.briefing import Inside
from attacks.chance import chance_ap, least_ap
from attacks.ensemble import Ensemble
from attacks.lowest import Lowest
from attacks.ranking import Ranking
from attacks.start import Generators, seeds_of
from attacks.tiers import PARTS, Tier
from benchbox.errors import BenchboxError
from benchbox.models.embed import Embed, evaluated

FINISHED = 0.02
"""Where between the least possible AP (0), all matches last, and chance (1) a query leaves at
once. One between here and chance stays to the end of a part, but meets no costlier ones."""


@dataclass(frozen=True, kw_only=True)
class WorstCase(AnyAttack[Inside]):
    """The lowest AP of each query over all parts of an ensemble and all their iterates.

    The attacker sits in the evaluation: he has the model, the clean gallery with its identities
    and cameras, and every point he visits is ranked as the evaluator ranks, so what counts is AP
    itself and not the smooth objective that was climbed. For Rank-k the point with the deepest
    first match counts, another one perhaps. The parts go from cheap to dear, each meets only the
    queries that those before it left standing. Every decision and every draw is an image's own,
    and small batches are filled up, so on a CPU the result is the same to the last digit whatever
    the batch; on other devices it is within what their kernels round.

    Through a randomised guard gradients are averaged over draws (``Knowledge.draws``), and what a
    part nominated counts as one further draw embeds it; likewise where gradients are taken in
    another precision. (A query is then never above its clean self in that draw; the draw that is
    ranked in the end is yet another.)

    Attributes:
        eps: radius of the ball, in [0, 1] on the pixel scale, where a call names no other.
        tier: ``"fast"``, of about the cost of FNA with 16 steps, ``"full"``, or ``"longer"``, which
            is ``full`` with twice the steps.

    Raises:
        BenchboxError: a value is out of its range.
    """

    name: ClassVar[str] = "worst_case"
    title: ClassVar[str] = "Worst case"
    threat: ClassVar[ThreatModel] = "query+gallery"

    eps: float = 8 / 255
    tier: Tier = "full"

    def __post_init__(self) -> None:
        require_budget(self.eps)
        if self.tier not in get_args(Tier):
            raise BenchboxError(
                f"tier: expected one of {', '.join(get_args(Tier))}, got {self.tier!r}"
            )

    @property
    @override
    def parts(self) -> tuple[str, ...]:
        return tuple(part.name for part in PARTS[self.tier])

    @property
    @override
    def passes(self) -> float:
        """As if half the queries met the parts that are for those above chance."""
        met = {"unfinished": 1.0, "above_chance": 0.5}
        return sum(part.steps * met[part.on] for part in PARTS[self.tier])

    @override
    def prepare(self, known: Knowledge) -> Inside:
        if known.gallery is None or known.score is None:
            raise BenchboxError(
                "worst_case: it must know the gallery and how queries retrieve in it; "
                "give both, or run an attack of the threat model 'query'"
            )
        ranking = Ranking.of(known.query, known.gallery)
        matches, images = ranking.match.sum(1), ranking.counted
        least, chance = least_ap(matches, images), chance_ap(matches, images)
        return Inside(
            ranking=ranking,
            draws=known.draws,
            score=known.score,
            finished=torch.where(ranking.lone, torch.inf, least + FINISHED * (chance - least)),
            chance=torch.where(ranking.lone, torch.inf, chance),
        )

    @override
    def search(
        self,
        embed: Embed,
        images: Tensor,
        aim: Inside,
        *,
        eps: Sequence[float],
        generator: Generators | None = None,
        exact: Embed | None = None,
    ) -> list[Found]:
        images = unit_images(images, aimed=len(aim))
        seeds = seeds_of(generator, len(images))
        with evaluated(embed), torch.inference_mode(mode=False):
            clean = images.detach().clone()
            # Where points are seen through another precision or draw than the one that is ranked,
            # a part only nominates, and what it nominated is looked at again.
            again = exact or (embed if aim.draws > 1 else None)
            found = []
            for budget in eps:
                require_budget(budget)
                lowest = Lowest.none_yet(clean)
                if budget:
                    Ensemble(
                        embed=embed,
                        again=again,
                        clean=clean,
                        aim=aim,
                        eps=budget,
                        seeds=seeds,
                        lowest=lowest,
                    ).run(PARTS[self.tier])
                found.append(lowest.found())
        return found
