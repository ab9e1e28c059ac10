"""Smooth-AP as an attack: the query set stands in for the gallery that the attacker lacks."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from attacks.apgd import apgd
from attacks.ascent import Ball
from attacks.ascent_attack import require_budget, require_images, require_steps
from attacks.base import AnyAttack, Found, Knowledge, ThreatModel
from attacks.briefing import Briefing
from attacks.climb import Climb
from attacks.gradient import Embed
from attacks.rank_objectives import TEMPERATURE, smooth_ap
from attacks.ranked_gradient import RankedGradient
from attacks.ranking import Ranking
from attacks.start import Generators, uniform_noise


@dataclass(frozen=True, kw_only=True)
class SmoothAP(AnyAttack[Briefing]):
    """Lowers the smoothed AP (Brown et al. 2020) of a query in the query set, by Auto-PGD.

    It knows what FNA, SMA and MetricIFGSM know, and takes as many gradients. Images of the own
    identity on other cameras are the matches; the query's own image is left out. A query without
    such a fellow moves away from its own clean embedding, as SMA does, from a random start.

    Attributes:
        eps: radius of the ball, in [0, 1] on the pixel scale, where a call names no other.
        steps: of Auto-PGD.
        temperature: τ, in units of the embeddings' root mean square length, which is 1 where they
            are of unit length.

    Raises:
        BenchboxError: a value is out of its range.
    """

    name: ClassVar[str] = "smooth_ap"
    title: ClassVar[str] = "Smooth-AP"
    threat: ClassVar[ThreatModel] = "query"

    eps: float = 8 / 255
    steps: int = 16
    temperature: float = TEMPERATURE

    def __post_init__(self) -> None:
        require_budget(self.eps)
        require_steps(self.steps)

    @override
    def prepare(self, known: Knowledge) -> Briefing:
        return Briefing(ranking=Ranking.among(known.query), draws=known.draws)

    @override
    def search(
        self,
        embed: Embed,
        images: Tensor,
        aim: Briefing,
        *,
        eps: Sequence[float],
        generator: Generators | None = None,
        exact: Embed | None = None,
    ) -> list[Found]:
        """Return the points of the lowest smoothed AP; ``exact`` is not needed."""
        require_images(images, aimed=len(aim))
        lone = aim.lone.nonzero().flatten().tolist()
        part = torch.zeros(len(images), dtype=torch.int64, device=images.device)
        temperature = self.temperature * aim.ranking.scale
        objective = RankedGradient(partial(smooth_ap, temperature=temperature), aim.ranking)
        found = []
        with torch.inference_mode(mode=False):
            clean = images.detach().clone()
            noise = torch.zeros_like(clean)
            if lone:
                noise[lone] = uniform_noise(clean, lone, generator)
            for budget in eps:
                require_budget(budget)
                ball = Ball.around(clean, budget)
                reached = apgd(
                    Climb(embed, objective, draws=aim.draws),
                    ball.project(clean + budget * noise),
                    ball,
                    steps=self.steps,
                    step_size=2 * budget,
                )
                found.append(Found(reached, reached, part))
        return found
