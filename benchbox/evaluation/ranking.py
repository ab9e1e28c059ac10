"""The ranks of the correct matches, found by counting instead of sorting.

mAP and CMC need no sorted gallery, only the rank of each correct match. With d the distances of
a query and c the gallery position of one of its matches, a stable sort would put it at

    rank = 1 + #{j < c : d_j <= d_c} + #{j > c : d_j < d_c}

that is one behind every item that beats it: nearer, or equally near and listed earlier. Junk is
moved to infinity, where it beats nothing. Each match costs one pass of vectorised comparisons
over the row, wherever it stands, so an attacked model, whose hits spread over the whole gallery,
is ranked as fast as a good one. Where a query has many matches, the row is instead counted into
equal bins of distance, once, and only the bins that hold a match are sorted.
"""

import itertools
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from benchbox.data.protocol import JUNK_PID

Ints: TypeAlias = npt.NDArray[np.int64]
DistanceRows: TypeAlias = npt.NDArray[Any] | torch.Tensor

COUNTED_MATCHES = 20
"""Above this many matches in one row, binning it once costs less than a pass for each."""
BINS = 8192


@dataclass(frozen=True, slots=True)
class Pairs:
    """Some (query, gallery) pairs, sorted by query.

    Attributes:
        query: (N,) each pair's query, counted from the start of the chunk.
        gallery: (N,) each pair's position in the gallery.
    """

    query: Ints
    gallery: Ints

    def by_query(self, queries: int) -> list[slice]:
        """Return where each query's pairs stand."""
        bounds = np.searchsorted(self.query, np.arange(queries + 1)).tolist()
        return [slice(start, stop) for start, stop in itertools.pairwise(bounds)]


@dataclass(frozen=True, slots=True)
class Labels:
    """Who is on each image, and which camera took it.

    Attributes:
        query_pids: (Q,) identity on each query.
        gallery_pids: (G,) identity on each gallery image.
        query_camids: (Q,) camera of each query.
        gallery_camids: (G,) camera of each gallery image.
    """

    query_pids: Ints
    gallery_pids: Ints
    query_camids: Ints
    gallery_camids: Ints


class Judge:
    """Says which gallery items are a query's matches and which are junk.

    Junk are the gallery items of the query's own pid and camid, and those of pid -1. Pid 0, the
    distractors, is a pid like any other: wrong for every query, because no query carries it.
    """

    def __init__(self, labels: Labels) -> None:
        query_pids, gallery_pids = labels.query_pids, labels.gallery_pids
        self.junk_columns = np.flatnonzero(gallery_pids == JUNK_PID)
        self._labels = labels
        self._by_pid = np.argsort(gallery_pids, kind="stable")
        sorted_pids = gallery_pids[self._by_pid]
        self._first = np.searchsorted(sorted_pids, query_pids, side="left")
        self._end = np.searchsorted(sorted_pids, query_pids, side="right")
        self._end[query_pids == JUNK_PID] = self._first[query_pids == JUNK_PID]

    def judge(self, rows: slice) -> tuple[Pairs, Pairs]:
        """Return the (matches, junk) of the queries in ``rows``; pid -1 is not in the latter."""
        first, end = self._first[rows], self._end[rows]
        counts = end - first
        query = np.repeat(np.arange(len(counts)), counts)
        gallery = self._by_pid[np.repeat(first, counts) + places_within(counts)]
        own_camera = self._labels.query_camids[rows][query] == self._labels.gallery_camids[gallery]
        return (
            Pairs(query[~own_camera], gallery[~own_camera]),
            Pairs(query[own_camera], gallery[own_camera]),
        )


def places_within(counts: Ints) -> Ints:
    """Return 0, 1, …, count - 1 for each count, one after another."""
    ends = np.cumsum(counts)
    return np.arange(counts.sum()) - np.repeat(ends - counts, counts)


def match_ranks(distances: DistanceRows, matches: Pairs, junk: Pairs, junk_columns: Ints) -> Ints:
    """Return the rank of each match among the items that are not junk, counted from 1.

    Args:
        distances: (rows, G) finite; anything that grows with the distance will do. A tensor is
            ranked on its own device.
        matches: the N correct pairs.
        junk: the pairs to leave out.
        junk_columns: gallery positions to leave out for every query.
    """
    if isinstance(distances, torch.Tensor):
        if distances.device.type == "cpu":
            return match_ranks(distances.numpy(), matches, junk, junk_columns)
        return _ranks_by_sorting(distances, matches, junk, junk_columns)
    without_junk = np.empty(distances.shape[1], dtype=distances.dtype)
    ranks = np.empty(len(matches.query), dtype=np.int64)
    queries = len(distances)
    for row, wanted, left_out in zip(
        range(queries), matches.by_query(queries), junk.by_query(queries), strict=True
    ):
        if wanted.start == wanted.stop:
            continue
        np.copyto(without_junk, distances[row])
        without_junk[junk_columns] = np.inf
        without_junk[junk.gallery[left_out]] = np.inf
        columns = matches.gallery[wanted]
        few = len(columns) <= COUNTED_MATCHES
        ranks[wanted] = (_count if few else _bin)(without_junk, columns)
    return ranks


def _count(row: npt.NDArray[Any], columns: Ints) -> list[int]:
    """Return the ranks of the items in ``columns`` by one pass over the row for each."""
    beats = np.empty(len(row), dtype=np.bool_)
    ranks = []
    for column, distance in zip(columns.tolist(), row[columns], strict=True):
        np.less_equal(row[:column], distance, out=beats[:column])
        np.less(row[column:], distance, out=beats[column:])
        ranks.append(1 + int(np.count_nonzero(beats)))
    return ranks


def _bin(row: npt.NDArray[Any], columns: Ints) -> Ints:
    """Return the ranks of the items in ``columns`` by one count of the whole row.

    Bins share the range up to the farthest match equally; the last one takes all that is
    farther. A bin's number never falls as the distance grows, rounding included, so bins without
    a match need only their size. Were all items in one bin, this would be a stable sort.
    """
    nearest = row.min()
    bins = np.zeros(len(row), dtype=np.intp)
    with np.errstate(divide="ignore", over="ignore"):
        per_unit = (BINS - 2) / (row[columns].max() - nearest)
        # Matches that lie all at one distance, or farther apart than a number can say: one bin.
        if 0 < per_unit < np.inf:
            place = np.subtract(row, nearest)
            place *= per_unit
            bins = np.minimum(place, BINS - 1, out=place).astype(np.intp)
    sizes = np.bincount(bins, minlength=BINS)
    with_match = np.zeros(BINS, dtype=np.bool_)
    with_match[bins[columns]] = True
    near = np.flatnonzero(with_match[bins])
    place_in_near = np.empty(len(near), dtype=np.int64)
    place_in_near[np.argsort(row[near], kind="stable")] = np.arange(len(near))
    sizes[with_match] = 0
    others = np.cumsum(sizes)
    ranks: Ints = 1 + others[bins[columns]] + place_in_near[np.searchsorted(near, columns)]
    return ranks


def _ranks_by_sorting(
    distances: torch.Tensor, matches: Pairs, junk: Pairs, junk_columns: Ints
) -> Ints:
    """Return the same ranks from a stable sort: on an accelerator one kernel beats many."""
    device = distances.device
    distances = distances + 0.0  # a copy; and -0.0 becomes 0.0, which a radix sort needs for ties
    distances[:, torch.from_numpy(junk_columns).to(device)] = torch.inf
    junk_query = torch.from_numpy(junk.query).to(device)
    distances[junk_query, torch.from_numpy(junk.gallery).to(device)] = torch.inf
    order = torch.sort(distances, dim=1, stable=True).indices
    places = torch.arange(1, order.shape[1] + 1, device=device).expand_as(order)
    rank = torch.empty_like(order).scatter_(1, order, places)
    match_query = torch.from_numpy(matches.query).to(device)
    wanted = rank[match_query, torch.from_numpy(matches.gallery).to(device)]
    host: Ints = wanted.cpu().numpy()
    return host
