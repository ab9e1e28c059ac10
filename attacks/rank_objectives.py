"""Objectives on the ranking of a gallery: one value per query, and its slope at each distance.

Each takes the Euclidean distances of B queries to a gallery of G images and says how its value,
which the attack increases, changes with them. Queries never mix: a row depends on its own
distances alone. Memory is B × G and a chunk; a query's P matches × G is never held for all.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from attacks.ranking import Ranking

CHUNK_ELEMENTS = 2**19
"""How many pairs of match and gallery image are held at once: 2 MiB, which caches hold."""
TEMPERATURE = 0.05
"""τ on embeddings of unit length: of 0.02, 0.05, 0.1 and 0.2 what left the least AP."""
NEAREST = 10
"""How many of the nearest wrong images the margin looks at."""


@dataclass(frozen=True, slots=True, eq=False)
class Slopes:
    """Values of B queries and their derivatives.

    Attributes:
        values: (B,) to increase.
        slopes: (B, G) of each value in the query's distances.
    """

    values: Tensor
    slopes: Tensor


RankObjective = Callable[[Tensor, Ranking], Slopes]
"""Distances (B, G) and whom the queries are ranked against, to values and slopes."""


def smooth_ap(distances: Tensor, ranking: Ranking, *, temperature: float) -> Slopes:
    """Return 1 − smoothed AP (Brown et al. 2020, "Smooth-AP", Eq. 7) and its slopes.

    With s_pj = σ((d_p − d_j) / τ), which is near 1 where image j ranks before match p,

        AP = mean over matches p of (1 + Σ_q s_pq) / (1 + Σ_q s_pq + Σ_n s_pn),

    q over the other matches, n over the wrong images. A query without a match has value and
    slopes 0.

    Args:
        distances: (B, G) Euclidean.
        ranking: whom the queries are ranked against.
        temperature: τ, on the scale of the distances; towards 0 this is 1 − AP in the step form.
    """
    values = distances.new_zeros(len(distances))
    slopes = torch.zeros_like(distances)
    scaled = (distances / temperature).masked_fill_(ranking.junk, torch.inf)
    pair_query, pair_slot = ranking.match.nonzero(as_tuple=True)
    pairs = max(1, CHUNK_ELEMENTS // distances.shape[1])
    for query, slot in zip(
        torch.split(pair_query, pairs), torch.split(pair_slot, pairs), strict=True
    ):
        itself = ranking.own[query, slot][:, None]
        places, is_match = ranking.places[query], ranking.match[query]
        before = scaled[query]  # a copy: s_pj, (pairs, G), in the end
        torch.sub(before.gather(1, itself), before, out=before).sigmoid_()
        before.scatter_(1, itself, 0.0)
        right = 1 + (before.gather(1, places) * is_match).sum(1, keepdim=True)
        everyone = 1 + before.sum(1, keepdim=True)
        values.index_add_(0, query, (right / everyone).flatten())
        # The precision at p grows with each match before p, and falls with each wrong image.
        steep = torch.addcmul(before, before, before, value=-1, out=before)
        for_match = (steep.gather(1, places) * is_match) * ((everyone - right) / everyone**2)
        steep.mul_(-right / everyone**2)
        steep.scatter_(1, torch.where(is_match, places, itself), for_match)
        slopes.index_add_(0, query, steep)
        slopes.index_put_((query, itself.flatten()), -steep.sum(1), accumulate=True)
    matches = ranking.match.sum(1).to(values)
    mean = 1 / matches.clamp(min=1)
    slopes.mul_((mean / temperature)[:, None])
    return Slopes(matches.clamp(max=1) - mean * values, slopes)


def match_distance(distances: Tensor, ranking: Ranking) -> Slopes:
    """Return the mean distance to the matches: MetricIFGSM's aim with the true gallery."""
    match = ranking.match.to(distances)
    share = match / match.sum(1, keepdim=True).clamp(min=1)
    slopes = torch.zeros_like(distances).scatter_add_(1, ranking.places, share)
    return Slopes((slopes * distances).sum(1), slopes)


def margin(distances: Tensor, ranking: Ranking, *, nearest: int = NEAREST) -> Slopes:
    """Return the mean distance to the matches less that to the nearest wrong images.

    Args:
        distances: (B, G) Euclidean.
        ranking: whom the queries are ranked against.
        nearest: how many wrong images count, the nearest at these distances.
    """
    away = match_distance(distances, ranking)
    wrong = distances.masked_fill(~ranking.wrong, torch.inf)
    near, places = wrong.topk(min(nearest, wrong.shape[1]), dim=1, largest=False)
    exists = near.isfinite()
    counted = exists.to(distances)
    share = counted / counted.sum(1, keepdim=True).clamp(min=1)
    towards = (share * near.masked_fill(~exists, 0)).sum(1)
    slopes = away.slopes.scatter_add_(1, places, -share)
    return Slopes(away.values - towards, slopes)


def towards(objective: RankObjective) -> RankObjective:
    """Return the opposite of an objective: of a ranking whose matches the query is to retrieve."""

    def opposite(distances: Tensor, ranking: Ranking) -> Slopes:
        away = objective(distances, ranking)
        return Slopes(-away.values, -away.slopes)

    return opposite
