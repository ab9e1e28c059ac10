"""mAP, CMC and mINP in the Market-1501 protocol; `average_precision` has the formulas."""

# Signatures stay as they are written: in help(), numpy's ArrayLike alone is a line of unions.
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import get_args

import numpy as np
import torch

from benchbox.errors import BenchboxError, unknown_name
from benchbox.evaluation.average_precision import (
    ApConvention,
    Floats,
    Hits,
    hits_of,
    inverse_negative_penalty,
)
from benchbox.evaluation.feature_distances import Metric, RankedGallery, exact_products
from benchbox.evaluation.ranking import (
    DistanceRows,
    Ints,
    Judge,
    Labels,
    match_ranks,
)
from benchbox.evaluation.retrieval_inputs import (
    Numbers,
    as_float,
    read_features,
    read_labels,
    read_matrix,
    refuse_non_finite,
)

CHUNK_ELEMENTS = 2**23
"""How many distances are held at once: 32 MiB in float32."""


@dataclass(frozen=True, slots=True, eq=False)
class Retrieval:
    """How well queries found their identity.

    Attributes:
        mAP: mean AP over the queries with a valid match, 0–1.
        mINP: mean of `inp` over them, 0–1.
        cmc: (max_rank,) share of those queries with a match at rank k or better, Rank-1 first;
            beyond the gallery's end the last value goes on.
        ap: (Q,) AP of each query, NaN where it has no valid match.
        first_hit: (Q,) rank of each query's first correct match, from 1; 0 where it has none.
        inp: (Q,) how many matches each query has over the rank of the last one; NaN where none.
        per_id: pid → mean AP over its queries with a valid match, sorted by pid.
        queries: how many queries have a valid match (the denominator).
        skipped: how many have none and were left out.
        ap_convention: ``trapezoid`` or ``step``.
    """

    mAP: float  # noqa: N815  (the field's own spelling)
    mINP: float  # noqa: N815  (likewise)
    cmc: Floats
    ap: Floats
    first_hit: Ints
    inp: Floats
    per_id: dict[int, float]
    queries: int
    skipped: int
    ap_convention: ApConvention


def evaluate_retrieval(
    query_features: Numbers,
    gallery_features: Numbers,
    query_pids: Numbers,
    gallery_pids: Numbers,
    query_camids: Numbers,
    gallery_camids: Numbers,
    *,
    ap: ApConvention = "trapezoid",
    metric: Metric = "euclidean",
    max_rank: int = 50,
) -> Retrieval:
    """Rank the gallery for each query by the distance of their embeddings and score the ranking.

    Distances are computed a chunk of queries at a time, so memory does not grow with Q × G.
    Equal distances rank by gallery order, and gallery rows with equal embeddings are equally
    far. Work stays on the device of ``gallery_features``.

    Args:
        query_features: (Q, D) embeddings; half precision is widened to float32.
        gallery_features: (G, D) embeddings.
        query_pids: (Q,) identities.
        gallery_pids: (G,) identities; -1 is junk (ignored), 0 a distractor (wrong).
        query_camids: (Q,) cameras; gallery items of the query's pid and camid are junk too.
        gallery_camids: (G,) cameras.
        ap: the AP convention, see `benchbox.evaluation.average_precision`.
        metric: the distance that ranks.
        max_rank: the length of the CMC curve.

    Raises:
        BenchboxError: NaN or infinite embeddings (the rows are named), shapes that do not fit,
            an unknown convention or metric, or no query with a valid match.
    """
    if metric not in get_args(Metric):
        raise unknown_name("metric", metric, get_args(Metric))
    gallery = read_features("gallery_features", gallery_features)
    query = read_features("query_features", query_features).to(gallery.device)
    if query.shape[1] != gallery.shape[1]:
        raise BenchboxError(
            f"query_features have {query.shape[1]} dimensions, gallery_features "
            f"{gallery.shape[1]}: both must come from the same model."
        )
    dtype = torch.promote_types(query.dtype, gallery.dtype)
    query, gallery = query.to(dtype), gallery.to(dtype)
    shape = (len(query), len(gallery))
    labels = read_labels(shape, query_pids, gallery_pids, query_camids, gallery_camids)
    with torch.no_grad(), exact_products(gallery.device):
        ranked = RankedGallery.of(gallery, metric)
        chunks = ranked.chunks(query, queries=_queries_per_chunk(len(gallery)))
        name = f"{metric} distances of query_features"
        return score_chunks(chunks, labels, name=name, ap=ap, max_rank=max_rank)


def rank_distances(
    distances: Numbers,
    query_pids: Numbers,
    gallery_pids: Numbers,
    query_camids: Numbers,
    gallery_camids: Numbers,
    *,
    ap: ApConvention = "trapezoid",
    max_rank: int = 50,
) -> Retrieval:
    """Score the ranking that a (Q, G) matrix of distances gives; smaller is nearer.

    Everything but ``distances`` is as in `evaluate_retrieval`; the matrix is not changed.

    Raises:
        BenchboxError: as `evaluate_retrieval`, for the distances.
    """
    matrix = read_matrix("distances", distances)
    queries, gallery = matrix.shape
    labels = read_labels((queries, gallery), query_pids, gallery_pids, query_camids, gallery_camids)
    step = _queries_per_chunk(gallery)
    chunks = (as_float(matrix[start : start + step]) for start in range(0, queries, step))
    with torch.no_grad():
        return score_chunks(chunks, labels, name="distances", ap=ap, max_rank=max_rank)


def score_chunks(
    chunks: Iterable[DistanceRows], labels: Labels, *, name: str, ap: ApConvention, max_rank: int
) -> Retrieval:
    """Rank and score one chunk of queries after another."""
    if ap not in get_args(ApConvention):
        raise unknown_name("AP convention", ap, get_args(ApConvention))
    if max_rank < 1:
        raise BenchboxError(f"max_rank: expected a whole number from 1 up, got {max_rank}.")
    judge = Judge(labels)
    found, matched = [], []
    start = 0
    for chunk in chunks:
        refuse_non_finite(name, chunk, first_row=start)
        rows = slice(start, start + len(chunk))
        matches, junk = judge.judge(rows)
        ranks = match_ranks(chunk, matches, junk, judge.junk_columns)
        counts = np.bincount(matches.query, minlength=len(chunk))
        found.append(hits_of(ranks, matches.query, counts, ap=ap))
        matched.append(counts)
        start = rows.stop
    hits = Hits(*(np.concatenate(each) for each in zip(*found, strict=True)))
    inp = inverse_negative_penalty(np.concatenate(matched), hits.last)
    return _record(labels.query_pids, hits, inp, ap, max_rank)


def _record(
    query_pids: Ints, hits: Hits, inp: Floats, ap: ApConvention, max_rank: int
) -> Retrieval:
    precision, first_hit = hits.ap, hits.first
    valid = first_hit > 0
    if not valid.any():
        raise BenchboxError(
            f"none of the {len(valid)} queries has a valid match in the gallery (same pid, another "
            "camid): check that query and gallery belong together and that camids are set."
        )
    hits_at = np.bincount(first_hit[valid], minlength=max_rank + 1)[1 : max_rank + 1]
    per_id = {
        int(pid): float(precision[valid & (query_pids == pid)].mean())
        for pid in np.unique(query_pids[valid])
    }
    cmc = np.cumsum(hits_at) / valid.sum()
    for array in (cmc, precision, first_hit, inp):
        array.setflags(write=False)
    return Retrieval(
        mAP=float(precision[valid].mean()),
        mINP=float(inp[valid].mean()),
        cmc=cmc,
        ap=precision,
        first_hit=first_hit,
        inp=inp,
        per_id=per_id,
        queries=int(valid.sum()),
        skipped=int((~valid).sum()),
        ap_convention=ap,
    )


def _queries_per_chunk(gallery: int) -> int:
    return max(1, CHUNK_ELEMENTS // gallery)
