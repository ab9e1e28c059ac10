"""The Square attack (Andriushchenko et al. 2020) on retrieval: a black box that shows distances."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from attacks.ascent import Ball
from attacks.ascent_attack import require_budget, require_steps, unit_images
from attacks.base import AnyAttack, Found, Knowledge, ThreatModel
from attacks.briefing import Briefing
from attacks.climb import filled_up
from attacks.gradient import require_embeddings
from attacks.rank_objectives import margin
from attacks.ranked_gradient import euclidean
from attacks.ranking import Ranking
from attacks.start import Generators, seeds_of
from benchbox.errors import BenchboxError
from benchbox.models.embed import Embed, evaluated, of_rows

FIRST_SHARE = 0.05
"""p of the paper: the share of an image's pixels that the first squares cover."""
HALVED_AT = (10, 50, 200, 1000, 2000, 4000, 6000, 8000)
"""When p is halved, of 10,000 tries."""


@dataclass(frozen=True, kw_only=True)
class Square(AnyAttack[Briefing]):
    """Random squares of ±eps, kept where they raise the margin; no gradient is asked for.

    The attacker sees the distances of his query to the gallery and knows who is on it: what is
    raised is the mean distance to the matches less that to the nearest wrong images. Squares lie
    anywhere on images of any shape; the original draws row and column from the height alone, and
    where the images are narrow its column is always 0.

    Attributes:
        eps: radius of the ball, in [0, 1] on the pixel scale, where a call names no other.
        tries: squares tried, each of which asks for an image's distances once; p's schedule is
            stretched to them.

    Raises:
        BenchboxError: a value is out of its range.
    """

    name: ClassVar[str] = "square"
    title: ClassVar[str] = "Square"
    threat: ClassVar[ThreatModel] = "scores"

    eps: float = 8 / 255
    tries: int = 1000

    def __post_init__(self) -> None:
        require_budget(self.eps)
        require_steps(self.tries, name="tries")

    @property
    @override
    def passes(self) -> float:
        """A third of its tries: it asks for embeddings alone."""
        return self.tries / 3

    @override
    def prepare(self, known: Knowledge) -> Briefing:
        if known.gallery is None:
            raise BenchboxError("square: it needs the gallery whose distances it sees")
        return Briefing(ranking=Ranking.of(known.query, known.gallery), draws=1)

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
        """Return the points of the greatest margin, as ``exact`` or else ``embed`` shows it."""
        images = unit_images(images, aimed=len(aim))
        seeds = seeds_of(generator, len(images))
        part = torch.zeros(len(images), dtype=torch.int64, device=images.device)
        found = []
        with evaluated(embed), torch.inference_mode(mode=False), torch.no_grad():
            clean = images.detach().clone()
            for budget in eps:
                require_budget(budget)
                draws = [torch.Generator().manual_seed(seed) for seed in seeds]
                reached = self._search(exact or embed, clean, aim.ranking, budget, draws)
                found.append(Found(reached, reached, part))
        return found

    def _search(
        self,
        embed: Embed,
        clean: Tensor,
        ranking: Ranking,
        eps: float,
        generators: Sequence[torch.Generator],
    ) -> Tensor:
        filled = filled_up(len(clean), clean.device)
        filled_ranking = ranking[filled]

        def margins(points: Tensor) -> Tensor:
            embeddings = of_rows(embed, filled)(points[filled])
            require_embeddings(embeddings, len(filled), with_gradient=False)
            gallery = ranking.features.to(embeddings.dtype)
            distances = euclidean(embeddings, gallery, ranking.squares.to(embeddings.dtype))
            return margin(distances, filled_ranking).values[: len(points)]

        ball = Ball.around(clean, eps)
        best = ball.project(clean + eps * stripes(clean, generators))
        value = margins(best)
        for step in range(self.tries):
            share = share_at(step, self.tries)
            shifted = [
                with_square(point, image, share=share, eps=eps, generator=generator)
                for point, image, generator in zip(best, clean, generators, strict=True)
            ]
            tried = ball.project(torch.stack(shifted))
            new = margins(tried)
            better = new > value
            value = torch.where(better, new, value)
            best = torch.where(better.view(-1, 1, 1, 1), tried, best)
        return best


def share_at(step: int, tries: int) -> float:
    """Return p at a try: the share of pixels a square covers (Section 3.1 of the paper)."""
    place = step * 10_000 / tries
    halvings = sum(place > bound for bound in HALVED_AT)
    return FIRST_SHARE * 0.5**halvings


def stripes(images: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
    """Return the start, vertical stripes one pixel wide: (B, 3, 1, W) of ±1, a colour a stripe."""
    channels, width = images.shape[1], images.shape[3]
    return torch.stack([signs((channels, 1, width), one) for one in generators]).to(images)


def with_square(
    point: Tensor, clean: Tensor, *, share: float, eps: float, generator: torch.Generator
) -> Tensor:
    """Return ``point`` with one square of ``clean`` ± eps, a sign for each channel.

    Args:
        point: (3, H, W).
        clean: (3, H, W).
        share: of the pixels it covers; its side is at least one pixel and fits into the image.
        eps: the budget.
        generator: of the place and the signs.
    """
    channels, height, width = clean.shape
    side = max(1, min(round(math.sqrt(share * height * width)), height, width))
    row, column = (
        int(torch.randint(size - side + 1, (), generator=generator)) for size in (height, width)
    )
    place = (slice(None), slice(row, row + side), slice(column, column + side))
    changed = point.clone()
    changed[place] = clean[place] + eps * signs((channels, 1, 1), generator).to(clean)
    return changed


def signs(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Return random ±1."""
    return torch.randint(2, shape, generator=generator) * 2.0 - 1
