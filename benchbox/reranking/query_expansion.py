"""Average query expansion: each image becomes the weighted mean of its nearest.

    f'(p) = Σ max(cos(p, g), 0)^α f(g)   over the k nearest g of p, p itself among them

α-QE of Radenović et al. (Fine-tuning CNN Image Retrieval with No Human Annotation, TPAMI 2019,
Section 3.4), after Chum et al. (ICCV 2007). As in fast-reid (`TEST.AQE`, whose defaults are QE_K 5,
QE_TIME 1, ALPHA 3) queries and gallery are expanded alike, from both, and ranked by the cosine.
There a negative cosine is not cut at 0; it is among the nearest only where nothing is near.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from benchbox.evaluation.feature_distances import RankedGallery
from benchbox.evaluation.ranking import Labels
from benchbox.reranking.base import Reranking, rows_per_chunk
from benchbox.reranking.nearest import nearest_places


@dataclass(frozen=True)
class QueryExpansion(Reranking):
    """Replaces every embedding by a mean of its nearest; the defaults are fast-reid's.

    Attributes:
        k: how many are averaged, the image itself among them.
        times: how often.
        alpha: the power of the cosine that weighs them.
    """

    name: ClassVar[str] = "query_expansion"
    title: ClassVar[str] = "query expansion"

    k: int = 5
    times: int = 1
    alpha: float = 3.0

    @override
    def distances(self, query: Tensor, gallery: Tensor, labels: Labels) -> Iterator[Tensor]:
        features = torch.cat([query, gallery])
        for _ in range(self.times):
            features = self._expanded(features)
        ranked = RankedGallery.of(features[len(query) :], "cosine")
        yield from ranked.chunks(features[: len(query)], queries=rows_per_chunk(len(gallery)))

    def _expanded(self, features: Tensor) -> Tensor:
        """Return the mean of each image's nearest, (N, D)."""
        images = RankedGallery.of(features, "cosine")
        k = min(self.k, len(features))
        found: list[Tensor] = []
        start = 0
        for chunk in images.chunks(features, queries=rows_per_chunk(len(features))):
            places = nearest_places(chunk, k)
            own = images.features[start : start + len(chunk), None]
            cosines = F.cosine_similarity(own, images.features[places], dim=2)
            weights = cosines.clamp_min(0).pow(self.alpha)
            found.append((features[places] * weights[..., None]).mean(1))
            start += len(chunk)
        return torch.cat(found)
