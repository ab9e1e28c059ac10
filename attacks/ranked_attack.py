"""Attacks by Auto-PGD on an objective of the ranking: each says whom is ranked, and what for."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from typing_extensions import override

from attacks.apgd import apgd
from attacks.ascent import Ball
from attacks.ascent_attack import require_budget, require_steps, unit_images
from attacks.base import AnyAttack, Found
from attacks.briefing import Briefing
from attacks.climb import Climb
from attacks.rank_objectives import TEMPERATURE, RankObjective
from attacks.ranked_gradient import RankedGradient
from attacks.start import Generators, one_each, uniform_noise
from benchbox.models.embed import Embed, evaluated


@dataclass(frozen=True, kw_only=True)
class RankedAttack(AnyAttack[Briefing]):
    """Climbs an objective on the ranking of each image by Auto-PGD (Croce and Hein 2020).

    A subclass gives ``name``, ``title``, ``threat``, `prepare` and `objective`. An image whose
    briefing is `lone` starts from a random point of its ball, unless ``lone_start`` is ``clean``;
    the others start clean.

    Attributes:
        eps: radius of the ball, in [0, 1] on the pixel scale, where a call names no other.
        steps: of Auto-PGD.
        temperature: τ of the smoothed AP, in units of the embeddings' root mean square length,
            which is 1 where they are of unit length.

    Raises:
        BenchboxError: a value is out of its range.
    """

    lone_start: ClassVar[Literal["random", "clean"]] = "random"

    eps: float = 8 / 255
    steps: int = 16
    temperature: float = TEMPERATURE

    def __post_init__(self) -> None:
        require_budget(self.eps)
        require_steps(self.steps)

    @abstractmethod
    def objective(self, temperature: float) -> RankObjective:
        """Return what is raised, τ being on the scale of the distances."""

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
        """Return the points of the highest objective; ``exact`` is not needed."""
        images = unit_images(images, aimed=len(aim))
        generators = one_each(generator, len(images))
        lone = aim.lone.nonzero().flatten().tolist() if self.lone_start == "random" else []
        part = torch.zeros(len(images), dtype=torch.int64, device=images.device)
        temperature = self.temperature * aim.ranking.scale
        objective = RankedGradient(self.objective(temperature), aim.ranking)
        found = []
        with evaluated(embed), torch.inference_mode(mode=False):
            clean = images.detach().clone()
            noise = torch.zeros_like(clean)
            if lone:
                noise[lone] = uniform_noise(clean, lone, generators)
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
