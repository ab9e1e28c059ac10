"""k-reciprocal re-ranking (Zhong et al., CVPR 2017), with sparse neighbour sets.

With d the squared Euclidean distance among queries and gallery together, N(p, k) the k nearest of
an image p and p itself, and d scaled so that each p's farthest image is at 1:

    R(p, k)  = {g in N(p, k) : p in N(g, k)}                                             (Eq. 2)
    R*(p)    = R(p, k1) ∪ all R(q, k1/2), q in R(p, k1), of which more than 2/3
               lie in R(p, k1)                                                           (Eq. 3)
    V(p, g)  = exp(−d(p, g)) for g in R*(p), else 0, scaled to a sum of 1                (Eq. 7)
    V'(p)    = the mean of V over the k2 nearest of p                                    (Eq. 11)
    d_J(p,g) = 1 − Σ min(V'(p), V'(g)) / Σ max(V'(p), V'(g))                             (Eq. 10)
    d*(p,g)  = (1 − λ) d_J(p, g) + λ d(p, g)                                             (Eq. 12)

This is what the authors' code computes (zhunzhong07/person-re-ranking, re_ranking_ranklist.py).
The paper differs from it: "at least 2/3" in Eq. 3, and neither of the two scalings.

The authors hold four dense matrices of (queries + gallery)²; here an image has some hundred
entries of V', and distances are made twice, a chunk at a time.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from scipy import sparse
from torch import Tensor
from typing_extensions import override

from benchbox.evaluation.average_precision import Floats
from benchbox.evaluation.feature_distances import RankedGallery
from benchbox.evaluation.ranking import Ints, Labels
from benchbox.reranking.base import Reranking, rows_per_chunk
from benchbox.reranking.nearest import nearest_places

ROWS = 4096
"""Images whose neighbour sets are expanded at once."""
PAIRS = 2**16
"""Pairs of images whose distance is taken at once."""

Sparse = Any
"""A SciPy sparse matrix in CSR form; SciPy has no types."""


@dataclass(frozen=True)
class KReciprocal(Reranking):
    """Re-ranks by the neighbours that images have in common; the defaults are the authors'.

    Attributes:
        k1: how many neighbours are looked at.
        k2: over how many of them the encodings are averaged.
        original: λ, the share of the plain distance.
    """

    name: ClassVar[str] = "k_reciprocal"
    title: ClassVar[str] = "k-reciprocal re-ranking"

    k1: int = 20
    k2: int = 6
    original: float = 0.3

    @override
    def distances(self, query: Tensor, gallery: Tensor, labels: Labels) -> Iterator[Tensor]:
        features = torch.cat([query, gallery])
        images = RankedGallery.of(features, "euclidean")
        nearest, farthest = self._nearest(images, features)
        encoded = self._encoded(images.features, nearest, farthest)
        first = len(query)
        # Row g: which gallery images have image g in their encoding, and how much of it.
        holders = encoded[first:].T.tocsr()
        place = 0
        for squares in _squared(images, query):
            chunk = squares[:, first:] / farthest[place : place + len(squares), None]
            for row, plain in enumerate(chunk):
                jaccard = torch.from_numpy(_jaccard(encoded[place + row], holders))
                plain.mul_(self.original).add_(jaccard, alpha=1 - self.original)
            yield chunk
            place += len(chunk)

    def _nearest(self, images: RankedGallery, features: Tensor) -> tuple[Ints, Tensor]:
        """Return (N, k) the nearest of each image, itself included, and (N,) its largest d."""
        k = min(max(self.k1 + 1, self.k2), len(features))
        places, farthest = [], []
        for squares in _squared(images, features):
            places.append(nearest_places(squares, k))
            farthest.append(squares.amax(1))
        # Where all images are at one point there is nothing to scale.
        tiny = torch.finfo(images.dtype).tiny
        return torch.cat(places).numpy(), torch.cat(farthest).clamp_min(tiny)

    def _encoded(self, features: Tensor, nearest: Ints, farthest: Tensor) -> Sparse:
        """Return V', (N, N) with rows that sum to 1."""
        sets = self._expanded(nearest)
        image = np.repeat(np.arange(len(nearest)), np.diff(sets.indptr))
        squares = _squares_of_pairs(features, image, sets.indices)
        weight = torch.exp(-squares / farthest[torch.from_numpy(image)]).numpy()
        sums = np.bincount(image, weights=weight, minlength=len(nearest))
        sets.data = (weight / sums[image]).astype(np.float32)
        averaged = nearest[:, : self.k2]
        mean = _indicator(averaged).astype(np.float32) / np.float32(averaged.shape[1])
        return (mean @ sets).tocsr()

    def _expanded(self, nearest: Ints) -> Sparse:
        """Return R* as an (N, N) matrix that is nonzero where g is in R*(p)."""
        wide = _reciprocal(nearest[:, : self.k1 + 1])
        narrow = _reciprocal(nearest[:, : round(self.k1 / 2) + 1])
        sizes = np.diff(narrow.indptr)
        parts = []
        for start in range(0, wide.shape[0], ROWS):
            own = wide[start : start + ROWS]
            # Being reciprocal goes both ways, so a column of `narrow` is a row of it.
            shared = (own @ narrow).multiply(own).tocoo()
            taken = 3 * shared.data > 2 * sizes[shared.col]
            ones, pairs = np.ones(taken.sum(), dtype=np.int32), (shared.row, shared.col)
            added = sparse.csr_matrix((ones, [axis[taken] for axis in pairs]), shape=own.shape)
            parts.append(own + added @ narrow)
        return sparse.vstack(parts, format="csr")


def _squared(images: RankedGallery, rows: Tensor) -> Iterator[Tensor]:
    """Yield squared distances (B, N) of the first images, ``rows``, to all of them."""
    start = 0
    for chunk in images.chunks(rows, queries=rows_per_chunk(len(images.features))):
        own = images.squares[start : start + len(chunk), None]
        yield chunk.add_(own).clamp_min_(0)
        start += len(chunk)


def _squares_of_pairs(features: Tensor, first: Ints, second: Ints) -> Tensor:
    """Return the squared distances of pairs of images, (P,), from their differences."""
    found = []
    for start in range(0, len(first), PAIRS):
        rows = slice(start, start + PAIRS)
        one, other = (torch.from_numpy(places[rows]).long() for places in (first, second))
        found.append((features[one] - features[other]).square().sum(1))
    return torch.cat(found)


def _indicator(places: Ints) -> Sparse:
    """Return (N, N) with a 1 where an image's row of ``places``, (N, k), names another."""
    rows, k = places.shape
    bounds = np.arange(0, rows * k + 1, k)
    ones = np.ones(rows * k, dtype=np.int32)
    return sparse.csr_matrix((ones, places.ravel(), bounds), shape=(rows, rows))


def _reciprocal(places: Ints) -> Sparse:
    """Return (N, N) with a 1 where each of two images is among the other's ``places``, (N, k)."""
    near = _indicator(places)
    return near.multiply(near.T).tocsr()


def _jaccard(own: Sparse, holders: Sparse) -> Floats:
    """Return a query's Jaccard distance to all gallery images, (G,).

    Both encodings sum to 1, so that Σ max = 2 − Σ min.

    Args:
        own: (1, N) the query's encoding.
        holders: (N, G) those of the gallery, as columns.
    """
    theirs = holders[own.indices]
    least = np.minimum(np.repeat(own.data, np.diff(theirs.indptr)), theirs.data)
    shared = np.bincount(theirs.indices, weights=least, minlength=holders.shape[1])
    distance: Floats = 1 - shared / (2 - shared)
    return distance
