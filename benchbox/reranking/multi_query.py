"""Multi-query: a person's queries from one camera search as one.

Zheng et al. (Scalable Person Re-identification: A Benchmark, ICCV 2015) pool the features of all
images of a query's identity on the query's camera, by their mean or their maximum. Market-1501 has
those images in a folder of its own (``gt_bbox``); here they are the query set's own, which in
Market-1501 is one image for each identity and camera.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from benchbox.errors import BenchboxError
from benchbox.evaluation.feature_distances import RankedGallery
from benchbox.evaluation.ranking import Labels
from benchbox.reranking.base import Reranking, rows_per_chunk


@dataclass(frozen=True)
class MultiQuery(Reranking):
    """Replaces each query by what all queries of its identity and camera have in common.

    Every query stays a row of its own, so that numbers stand beside those of single queries.

    Attributes:
        pool: how embeddings become one.
    """

    name: ClassVar[str] = "multi_query"
    title: ClassVar[str] = "multi-query"

    pool: Literal["mean", "max"] = "mean"

    @override
    def distances(self, query: Tensor, gallery: Tensor, labels: Labels) -> Iterator[Tensor]:
        """Yield the distances of pooled queries; see `Reranking.distances`.

        Raises:
            BenchboxError: no query has another of its identity and camera.
        """
        who = np.stack([labels.query_pids, labels.query_camids], axis=1)
        groups, group = np.unique(who, axis=0, return_inverse=True)
        if len(groups) == len(query):
            raise BenchboxError(
                "rankings: multi_query: no two queries show one identity on one camera, so that "
                "it would repeat the plain ranking; leave it out for this dataset."
            )
        places = torch.from_numpy(group.reshape(-1)).to(query.device)
        index = places[:, None].expand_as(query)
        pooled = query.new_zeros(len(groups), query.shape[1])
        how = "mean" if self.pool == "mean" else "amax"
        pooled.scatter_reduce_(0, index, query, how, include_self=False)
        ranked = RankedGallery.of(gallery, "euclidean")
        yield from ranked.chunks(pooled[places], queries=rows_per_chunk(len(gallery)))
