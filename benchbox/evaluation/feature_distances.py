"""Distances from embeddings, a chunk of queries at a time, in a form that ranks alike.

A query's own norm does not change the order of its gallery, so what is ranked is

    euclidean: |g|^2 - 2 q.g      (the squared distance less |q|^2)
    cosine:    -q.g / |g|         (the distance less 1, times |q|)

Three things would make such a product rank wrongly, and all are mended here. Matrix kernels treat
edge columns differently, so equal gallery rows can get products that differ in the last bit:
repeated rows take the value of their first copy and tie exactly. And where the embeddings all lie
close to one point, seen from the origin, float32 has too few digits left for their differences:
then the product is taken in float64. And squares of embeddings as small as 1e-25 are zero, those of
1e25 infinite: such embeddings are multiplied by a power of two first, which changes no digit.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Literal

import numpy as np
import torch

Metric = Literal["euclidean", "cosine"]

SAMPLED_COLUMNS = 32
"""How many columns tell almost all different gallery rows apart."""
CROWDED = 0.01
"""Embeddings whose variance is a smaller part of their mean square than this need float64."""
BLOCK_ROWS = 512
ORDINARY = 30
"""Embeddings between 2^-30 and 2^30 in size are left as they are."""


@contextmanager
def exact_products(device: torch.device) -> Iterator[None]:
    """Keep matrix products in their operands' precision: no autocast, no TF32, no bfloat16.

    A training script may have allowed those for the whole process; they would reorder galleries.
    """
    with torch.autocast(device.type, enabled=False):
        if hasattr(torch.backends.cuda.matmul, "fp32_precision"):  # torch 2.9 and later
            kernels: tuple[Any, Any] = (torch.backends.cuda, torch.backends.mkldnn)
            backends = [kernel.matmul for kernel in kernels]
            allowed = [backend.fp32_precision for backend in backends]
            try:
                for backend in backends:
                    backend.fp32_precision = "ieee"
                yield
            finally:
                for backend, precision in zip(backends, allowed, strict=True):
                    backend.fp32_precision = precision
        else:
            before = torch.get_float32_matmul_precision()
            try:
                torch.set_float32_matmul_precision("highest")
                yield
            finally:
                torch.set_float32_matmul_precision(before)


@dataclass(frozen=True, slots=True, eq=False)
class RankedGallery:
    """A gallery made ready for the distances of any number of queries.

    Attributes:
        features: (G, D) embeddings, float32 or float64, of about unit size.
        metric: which distance; a vector of zeros has cosine similarity 0 to everything.
        dtype: of the distances: float64 where float32 does not suffice.
        squares: (G,) squared norms in that type.
        copies: places of rows that repeat an earlier one.
        originals: places of those earlier ones.
        exponents: of the power of two that the features were multiplied by: one for all under
            ``euclidean``, (1,), so that queries are multiplied by it too; else one a row, (G,).
    """

    features: torch.Tensor
    metric: Metric
    dtype: torch.dtype
    squares: torch.Tensor
    copies: torch.Tensor
    originals: torch.Tensor
    exponents: torch.Tensor

    @classmethod
    def of(cls, gallery: torch.Tensor, metric: Metric) -> "RankedGallery":
        """Look at (G, D) embeddings once. Run inside `exact_products`."""
        exponents = _exponents(gallery, common=metric == "euclidean")
        gallery = _times_power(gallery, exponents)
        copies, originals = (torch.from_numpy(rows) for rows in _repeats(gallery))
        dtype = gallery.dtype
        squares = _squared_norms(gallery, dtype)
        if dtype != torch.float64 and _crowded(gallery, squares, metric):
            if gallery.device.type == "mps":  # has no float64
                gallery = gallery.cpu()
            dtype = torch.float64
            squares = _squared_norms(gallery, dtype)
        device = gallery.device
        return cls(
            gallery, metric, dtype, squares, copies.to(device), originals.to(device), exponents
        )

    def chunks(self, query: torch.Tensor, *, queries: int) -> Iterator[torch.Tensor]:
        """Yield the ranking distances of ``queries`` queries after another.

        Each chunk is overwritten by the next one. Run inside `exact_products`.

        Args:
            query: (Q, D) embeddings of the gallery's type.
            queries: rows of a chunk, so memory is ``queries`` × G.

        Yields:
            (queries or fewer, G).
        """
        gallery = self.features
        shape = (min(queries, len(query)), len(gallery))
        buffer = gallery.new_empty(shape, dtype=self.dtype)
        for part in torch.split(query.to(gallery.device), queries):
            chunk = buffer[: len(part)]
            own = self.metric == "cosine"
            part = _times_power(part, _exponents(part, common=False) if own else self.exponents)
            _multiply(part, gallery, out=chunk)
            if self.metric == "euclidean":
                chunk.mul_(-2).add_(self.squares)
            else:
                chunk.div_(-_safe_norms(self.squares))
            if len(self.copies):
                chunk[:, self.copies] = chunk[:, self.originals]
            yield chunk


def _exponents(features: torch.Tensor, *, common: bool) -> torch.Tensor:
    """Return the power of two that brings each row's largest number to about 1.

    It is 0 where that number is of ordinary size or zero, and is bounded by what the type holds.

    Args:
        features: (N, D).
        common: one power for all rows, (1,), instead of (N,).
    """
    largest = torch.linalg.vector_norm(features, ord=torch.inf, dim=1)
    exponents = -torch.frexp(largest.max()[None] if common else largest).exponent
    most = 1000 if features.dtype == torch.float64 else 120
    return exponents.masked_fill(exponents.abs() < ORDINARY, 0).clamp(-most, most)


def _times_power(features: torch.Tensor, exponents: torch.Tensor) -> torch.Tensor:
    """Return the (N, D) rows times 2^exponent; themselves, not a copy, where nothing changes."""
    if not exponents.any():
        return features
    return features * torch.exp2(exponents.to(features.dtype))[:, None]


def _multiply(query: torch.Tensor, gallery: torch.Tensor, *, out: torch.Tensor) -> None:
    """Write the inner products into ``out``, in its precision, without widening all at once."""
    if out.dtype == gallery.dtype:
        torch.mm(query, gallery.T, out=out)
        return
    wide = query.to(out.dtype)
    for start in range(0, len(gallery), BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        out[:, rows] = wide @ gallery[rows].to(out.dtype).T


def _squared_norms(features: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return each row's squared norm; in blocks, because squares of all would double memory."""
    return torch.cat([rows.to(dtype).square().sum(1) for rows in torch.split(features, BLOCK_ROWS)])


def _safe_norms(squares: torch.Tensor) -> torch.Tensor:
    return squares.sqrt().clamp_min(torch.finfo(squares.dtype).tiny)


def _crowded(gallery: torch.Tensor, squares: torch.Tensor, metric: Metric) -> bool:
    """Return whether the embeddings' spread is lost in the digits their common mean takes."""
    scale = torch.ones_like(squares) if metric == "euclidean" else 1 / _safe_norms(squares)
    mean = scale @ gallery / len(gallery)
    mean_square = (scale.square() * squares).mean()
    return bool(mean_square - mean.square().sum() < CROWDED * mean_square)


def _repeats(features: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions of rows that repeat an earlier row, and of those earlier rows.

    Eight bytes a row are held for all rows; more of those only that look alike.
    """
    step = max(1, features.shape[1] // SAMPLED_COLUMNS)
    everything = np.arange(len(features))
    hashes = np.fromiter(map(hash, _bytes_of(features[:, ::step], everything)), dtype=np.int64)
    _, group, sizes = np.unique(hashes, return_inverse=True, return_counts=True)
    suspects = np.flatnonzero(sizes[group] > 1)
    first = _first_equal(_bytes_of(features, suspects))
    repeated = first != np.arange(len(suspects))
    return suspects[repeated], suspects[first[repeated]]


def _bytes_of(features: torch.Tensor, rows: np.ndarray) -> Iterator[bytes]:
    """Yield some rows as bytes that are equal where the rows are equal as numbers."""
    for start in range(0, len(rows), BLOCK_ROWS):
        block = features[torch.from_numpy(rows[start : start + BLOCK_ROWS]).to(features.device)]
        # Adding 0.0 turns -0.0 into 0.0.
        for row in (block + 0.0).cpu().numpy():
            yield row.tobytes()


def _first_equal(rows: Iterable[bytes]) -> np.ndarray:
    """Return for each row the position of the first row equal to it."""
    seen: dict[bytes, int] = {}
    # A digest is as good as the row, and is all that is kept of it.
    digests = (blake2b(row, digest_size=16).digest() for row in rows)
    places = [seen.setdefault(digest, place) for place, digest in enumerate(digests)]
    return np.array(places, dtype=np.int64)
