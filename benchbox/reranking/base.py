"""What a re-ranking is: other distances from the same embeddings."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import Tensor

from benchbox.evaluation.average_precision import ApConvention
from benchbox.evaluation.feature_distances import exact_products
from benchbox.evaluation.ranking import Labels
from benchbox.evaluation.retrieval import CHUNK_ELEMENTS, Retrieval, score_chunks


class Reranking(ABC):
    """Distances of queries to the gallery that rest on more than the two embeddings.

    Attributes:
        name: what grids call it.
        title: the same in words.
    """

    name: ClassVar[str]
    title: ClassVar[str]

    @abstractmethod
    def distances(self, query: Tensor, gallery: Tensor, labels: Labels) -> Iterator[Tensor]:
        """Yield the distances of one chunk of queries after another.

        Run without gradients and inside `exact_products`.

        Args:
            query: (Q, D) float32 or float64 embeddings.
            gallery: (G, D) likewise.
            labels: whose images they are, from which cameras; not who is searched for.

        Yields:
            (B, G) finite; the chunks make up all queries in their order.
        """


def evaluate_reranked(
    reranking: Reranking, query: Tensor, gallery: Tensor, labels: Labels, *, ap: ApConvention
) -> Retrieval:
    """Score a re-ranking as `evaluate_retrieval` scores the plain ranking.

    Args:
        reranking: how distances are made.
        query: (Q, D) embeddings on the CPU.
        gallery: (G, D) likewise.
        labels: identities and cameras.
        ap: the AP convention.

    Raises:
        BenchboxError: distances are not finite, or no query has a valid match.
    """
    with torch.no_grad(), exact_products(gallery.device):
        chunks = reranking.distances(query, gallery, labels)
        return score_chunks(chunks, labels, name=f"{reranking.name} distances", ap=ap, max_rank=50)


def rows_per_chunk(columns: int) -> int:
    """Return how many rows of a matrix are held at once."""
    return max(1, CHUNK_ELEMENTS // columns)
