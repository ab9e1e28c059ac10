"""The evaluator's AP for a few queries at a time, as an attack asks for it at every step."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from attacks.base import Knowledge, Labelled
from benchbox.evaluation.average_precision import ApConvention, hits_of
from benchbox.evaluation.feature_distances import Metric, RankedGallery, exact_products
from benchbox.evaluation.ranking import Judge, Labels, match_ranks


class Scorer:
    """Ranks a gallery that was made ready once: `evaluate_retrieval` for one batch, and the same.

    Args:
        query: the queries; their features are not used.
        gallery: clean, on the device that is to rank.
        ap: the AP convention.
        metric: the distance that ranks.
    """

    def __init__(
        self,
        query: Labelled,
        gallery: Labelled,
        *,
        ap: ApConvention,
        metric: Metric = "euclidean",
    ) -> None:
        self._ap = ap
        with torch.no_grad(), exact_products(gallery.features.device):
            features = gallery.features
            wide = torch.promote_types(features.dtype, torch.float32)
            self._gallery = RankedGallery.of(features.to(wide), metric)
        self._labels = Labels(
            *(
                labels.cpu().numpy()
                for labels in (query.pids, gallery.pids, query.camids, gallery.camids)
            )
        )

    def __call__(self, embeddings: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return AP in [0, 1] and rank of the first match of some queries, (B,) each.

        Args:
            embeddings: (B, D) finite, in the place of the queries' own.
            rows: (B,) which queries, as places in the query set.

        Returns:
            AP in float64 and ranks in int64, on the embeddings' device; NaN and 0 for queries
            without a valid match.
        """
        labels, places = self._labels, rows.cpu().numpy()
        batch = Labels(
            labels.query_pids[places],
            labels.gallery_pids,
            labels.query_camids[places],
            labels.gallery_camids,
        )
        judge = Judge(batch)
        matches, junk = judge.judge(slice(0, len(places)))
        with torch.no_grad(), exact_products(self._gallery.features.device):
            given = embeddings.detach().to(self._gallery.features.dtype)
            (distances,) = self._gallery.chunks(given, queries=len(places))
            ranks = match_ranks(distances, matches, junk, judge.junk_columns)
        counts = np.bincount(matches.query, minlength=len(places))
        found = hits_of(ranks, matches.query, counts, ap=self._ap)
        precision, first_hit = (
            torch.from_numpy(array).to(embeddings.device) for array in (found.ap, found.first)
        )
        return precision, first_hit


def whole_knowledge(
    query: Labelled, gallery: Labelled, *, ap: ApConvention, device: torch.device, draws: int
) -> Knowledge:
    """Return what an attacker knows who has the gallery and the evaluation as well.

    Args:
        query: clean.
        gallery: clean.
        ap: the AP convention of the ranking.
        device: that is to rank.
        draws: over how many draws of the model an attack averages.
    """
    ranked = replace(gallery, features=gallery.features.to(device))
    return Knowledge(query, gallery, Scorer(query, ranked, ap=ap), draws)
