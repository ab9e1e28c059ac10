"""Targeted impersonation: a query is made to retrieve an identity of the attacker's choice."""

from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from attacks.base import Knowledge, Labelled, ThreatModel
from attacks.briefing import Briefing
from attacks.rank_objectives import RankObjective, smooth_ap, towards
from attacks.ranked_attack import RankedAttack
from attacks.ranking import Ranking
from benchbox.errors import BenchboxError

EVERY_CAMERA = -1
"""A camera that no image has: images of the chosen identity count whoever took them."""


@dataclass(frozen=True, kw_only=True)
class Impersonation(RankedAttack):
    """Raises the smoothed AP of a chosen identity in the gallery, by Auto-PGD.

    The identity chosen for a query is the one whose nearest image is farthest from it: the hardest
    one, and the same whoever chooses. It succeeded where that identity stands at rank 1; its
    mAP is that of the chosen identities (`towards_chosen`).
    """

    name: ClassVar[str] = "impersonation"
    title: ClassVar[str] = "Impersonation"
    threat: ClassVar[ThreatModel] = "targeted"

    def chosen(self, known: Knowledge) -> Labelled:
        """Return the queries under the identities they are to retrieve; see `towards_chosen`.

        Raises:
            BenchboxError: the gallery is not known, or there is nobody to choose.
        """
        return towards_chosen(known.query, _gallery(known))

    @override
    def prepare(self, known: Knowledge) -> Briefing:
        return Briefing(ranking=Ranking.of(self.chosen(known), _gallery(known)), draws=known.draws)

    @override
    def objective(self, temperature: float) -> RankObjective:
        return towards(partial(smooth_ap, temperature=temperature))


def _gallery(known: Knowledge) -> Labelled:
    if known.gallery is None:
        raise BenchboxError("impersonation: it must know the gallery it is to be found in")
    return known.gallery


def towards_chosen(query: Labelled, gallery: Labelled) -> Labelled:
    """Return the queries under the identities they are to impersonate.

    Ranked so, an evaluation says how well each query retrieves the identity chosen for it.

    Args:
        query: clean.
        gallery: clean; junk and distractors are nobody to impersonate.

    Raises:
        BenchboxError: a query has no other identity to impersonate.
    """
    pids = torch.unique(gallery.pids[gallery.pids > 0])
    nearest = (
        torch.stack(
            [
                torch.cdist(query.features, gallery.features[gallery.pids == pid]).amin(dim=1)
                for pid in pids
            ],
            dim=1,
        )
        if len(pids)
        else query.features.new_empty(len(query.pids), 0)
    )
    others = nearest.masked_fill(pids == query.pids[:, None], -torch.inf)
    if not bool((others > -torch.inf).any(dim=1).all()):
        raise BenchboxError(
            "impersonation: the gallery holds no identity but the query's own; "
            "test on a gallery with two identities or more"
        )
    chosen: Tensor = pids[others.argmax(dim=1)]
    return replace(query, pids=chosen, camids=torch.full_like(query.camids, EVERY_CAMERA))
