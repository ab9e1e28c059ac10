"""One batch of queries on its way through the parts of the worst case."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from attacks.adam import adam
from attacks.apgd import apgd
from attacks.ascent import Ball
from attacks.briefing import Inside
from attacks.climb import Climb, filled_up
from attacks.lowest import Lowest
from attacks.rank_objectives import RankObjective, match_distance, smooth_ap
from attacks.ranked_gradient import RankedGradient
from attacks.start import uniform_noise
from attacks.tiers import Part
from benchbox.models.embed import Embed, of_rows
from benchbox.training.seeding import seeded


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Ensemble:
    """Runs parts on B queries at one budget.

    Attributes:
        embed: differentiable, what is climbed.
        again: what nominated points are embedded with before they count, where that is another
            model or another draw than the climbed one; None where a point counts as it was seen.
        clean: (B, 3, H, W).
        aim: of these queries.
        eps: the budget.
        seeds: (B) of each query's random starts.
        lowest: what was found so far; written to.
        last: (B, 3, H, W) where the last part ended; written to.
    """

    embed: Embed
    again: Embed | None
    clean: Tensor
    aim: Inside
    eps: float
    seeds: Sequence[int]
    lowest: Lowest
    last: Tensor = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "last", self.clean.clone())

    def run(self, parts: Iterable[Part]) -> None:
        """Run one part after another, each on the queries that the ones before left standing."""
        if self.again is not None:
            everyone = torch.arange(len(self.clean), device=self.clean.device)
            self._look_again(self.again, self.clean, everyone, part=0)
        for place, part in enumerate(parts):
            limit = self.aim.chance if part.on == "above_chance" else self.aim.finished
            rows = (self.lowest.ap > limit).nonzero().flatten()
            if len(rows):
                self._climb(part, place, rows)

    def _climb(self, part: Part, place: int, rows: Tensor) -> None:
        """Run one part on the queries ``rows``."""
        # Points that are seen through another model or draw are nominated, and looked at again.
        nominated = Lowest.none_yet(self.clean) if self.again else self.lowest

        def watch(points: Tensor, drawn: Sequence[Tensor], chosen: Tensor) -> None:
            ap, first_hit = self._scored(drawn, rows[chosen])
            nominated.offer(points, ap, first_hit, rows[chosen], part=place)

        def done(chosen: Tensor) -> Tensor:
            return nominated.ap[rows[chosen]] <= self.aim.finished[rows[chosen]]

        ascend = {"adam": adam, "apgd": apgd}[part.ascent]
        self.last[rows] = ascend(
            Climb(
                of_rows(self.embed, rows),
                self._objective(part)[rows],
                watch=watch,
                draws=self.aim.draws,
            ),
            self._start(part, rows),
            Ball.around(self.clean[rows], self.eps),
            steps=part.steps,
            step_size=part.reach * self.eps,
            done=done,
        )
        if self.again is not None:
            for images in (nominated.images[rows], nominated.deepest[rows]):
                self._look_again(self.again, images, rows, part=place)

    def _look_again(self, embed: Embed, images: Tensor, rows: Tensor, *, part: int) -> None:
        """Offer images of the queries ``rows`` as the model that is ranked sees them now."""
        with torch.no_grad():
            filled = filled_up(len(rows), rows.device)
            embeddings = of_rows(embed, rows[filled])(images[filled])
        ap, first_hit = self._scored([embeddings], rows)
        self.lowest.offer(images, ap, first_hit, rows, part=part)

    def _objective(self, part: Part) -> RankedGradient:
        ranking = self.aim.ranking
        objective: RankObjective = match_distance
        if part.objective == "smooth_ap":
            objective = partial(smooth_ap, temperature=part.temperature * ranking.scale)
        return RankedGradient(objective, ranking)

    def _start(self, part: Part, rows: Tensor) -> Tensor:
        clean = self.clean[rows]
        if part.start == "corner":
            generators = [seeded(self.seeds[row], part.name) for row in rows.tolist()]
            noise = uniform_noise(clean, range(len(rows)), generators).sign()
            return Ball.around(clean, self.eps).project(clean + self.eps * noise)
        return clean.clone() if part.start == "clean" else self.last[rows].clone()

    def _scored(self, drawn: Sequence[Tensor], rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return AP and first hit of the queries ``rows``, over all draws: the mean, the least.

        Args:
            drawn: embeddings of a filled-up batch, one tensor a draw.
            rows: (N,) the queries at its head.
        """
        filled = rows[filled_up(len(rows), rows.device)]
        scores = [self.aim.score(embeddings, self.aim.ranking.rows[filled]) for embeddings in drawn]
        ap = torch.stack([ap for ap, _ in scores]).mean(0)
        first_hit = torch.stack([first_hit for _, first_hit in scores]).amin(0)
        return ap[: len(rows)], first_hit[: len(rows)]
