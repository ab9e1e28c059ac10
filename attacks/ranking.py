"""What queries are ranked against, and who counts: matches, junk and the rest."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from attacks.base import Labelled, widened
from benchbox.data.protocol import JUNK_PID
from benchbox.errors import BenchboxError
from benchbox.models.embed import Rows

BLOCK_ROWS = 512
"""Embeddings that are looked at together: a gallery may be a file that memory would not hold."""


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """A gallery of G images, and for each of B queries which of them count as what.

    As the evaluation has it: images of the query's own identity are its matches, on its own camera
    they are junk, so is identity -1; everything else, distractors (0) included, is wrong.

    Attributes:
        features: (G, D) clean embeddings, shared by all selections of queries.
        squares: (G,) their squared lengths.
        ignored: (G,) bool, junk for every query.
        own: (B, L) int64 places of the query's own identity; L is the most any query has, and the
            place G fills up the rest.
        match: (B, L) bool, which of them are matches; what is neither match nor filling is junk.
        rows: (B,) int64, the queries' places in the query set.
        lone: (B,) bool, whether the query has no match, not counting itself.
    """

    features: Tensor
    squares: Tensor
    ignored: Tensor
    own: Tensor
    match: Tensor
    rows: Tensor
    lone: Tensor

    @classmethod
    def of(cls, query: Labelled, gallery: Labelled) -> "Ranking":
        """Rank ``query`` in ``gallery``.

        Raises:
            BenchboxError: features and labels do not fit, or are not finite.
        """
        require_labelled("query", query)
        require_labelled("gallery", gallery)
        if query.features.shape[1] != gallery.features.shape[1]:
            raise BenchboxError(
                f"gallery: embeddings of {gallery.features.shape[1]} dimensions beside queries of "
                f"{query.features.shape[1]}; both must come from the same model"
            )
        pids, by_pid = gallery.pids.sort(stable=True)
        first = torch.searchsorted(pids, query.pids)
        count = torch.searchsorted(pids, query.pids, right=True) - first
        slots = torch.arange(int(count.max()), device=count.device)
        filled = slots < count[:, None]
        own = by_pid[(first[:, None] + slots).clamp(max=len(pids) - 1)]
        elsewhere = gallery.camids[own] != query.camids[:, None]
        known = (query.pids != JUNK_PID)[:, None]
        match = filled & elsewhere & known
        features = widened(gallery.features.detach())
        return cls(
            features=features,
            squares=torch.cat([rows.square().sum(1) for rows in torch.split(features, BLOCK_ROWS)]),
            ignored=gallery.pids == JUNK_PID,
            own=own.masked_fill(~filled, len(pids)),
            match=match,
            rows=torch.arange(len(query.pids), device=count.device),
            lone=~match.any(dim=1),
        )

    @classmethod
    def among(cls, query: Labelled) -> "Ranking":
        """Rank each query among all the others: what an attacker can who knows no gallery.

        Its own image is left out, being of its own identity and camera, and so are others of that
        camera, as they would be in a gallery. A query that has no fellow on another camera is
        `lone` and gets its own image as its only match: at its clean embedding there is no
        gradient then, so it must start elsewhere.

        Raises:
            BenchboxError: features and labels do not fit, or are not finite.
        """
        ranking = cls.of(query, query)
        itself = ranking.own == ranking.rows[:, None]
        return replace(ranking, match=ranking.match | (ranking.lone[:, None] & itself))

    @property
    def scale(self) -> float:
        """The root mean square length of the embeddings: 1 where they are of unit length."""
        return float(self.squares.mean().sqrt())

    @property
    def counted(self) -> Tensor:
        """(B,) int64, how many images are ranked for each query: all that are not junk."""
        junk = (self.own < len(self.features)) & ~self.match
        return (~self.ignored).sum() - junk.sum(1)

    @property
    def right(self) -> Tensor:
        """(B, G) bool, which images are matches."""
        return self._marked(self.match)

    @property
    def junk(self) -> Tensor:
        """(B, G) bool, which images do not count: neither match nor wrong."""
        return self._marked(~self.match) | self.ignored

    @property
    def wrong(self) -> Tensor:
        """(B, G) bool, which images are neither matches nor junk."""
        return ~(self._marked(torch.ones_like(self.match)) | self.ignored)

    @property
    def places(self) -> Tensor:
        """(B, L) ``own`` with any valid place where it is filled up; ``match`` is False there."""
        return self.own.clamp(max=len(self.features) - 1)

    def _marked(self, values: Tensor) -> Tensor:
        """Return (B, G) bool with the (B, L) ``values`` at the places of the own identity."""
        # One column more than there are images takes what fills up `own`.
        marked = self.own.new_zeros(len(self), len(self.features) + 1, dtype=torch.bool)
        return marked.scatter_(1, self.own, values)[:, :-1]

    def __len__(self) -> int:
        """Return the number of queries."""
        return len(self.rows)

    def __getitem__(self, rows: Rows) -> "Ranking":
        """Return the ranking of some queries: a slice, integer indices or a boolean mask."""
        index = rows if isinstance(rows, slice) else torch.as_tensor(rows, device=self.rows.device)
        names = ("own", "match", "rows", "lone")
        return replace(self, **{name: getattr(self, name)[index] for name in names})

    def to(self, device: torch.device | str) -> "Ranking":
        """Return the same ranking on ``device``."""
        names = ("features", "squares", "ignored", "own", "match", "rows", "lone")
        return Ranking(**{name: getattr(self, name).to(device) for name in names})


def require_labelled(name: str, images: Labelled) -> None:
    """Check that embeddings and labels fit.

    Raises:
        BenchboxError: they do not, or an embedding is not finite.
    """
    features = images.features
    if features.ndim != 2 or 0 in features.shape or not features.is_floating_point():
        raise BenchboxError(
            f"{name}: expected float embeddings of shape (images, dimensions), "
            f"got {features.dtype} {tuple(features.shape)}"
        )
    for label, values in (("pids", images.pids), ("camids", images.camids)):
        if values.shape != features.shape[:1] or values.dtype != torch.int64:
            raise BenchboxError(
                f"{name}: expected {len(features)} int64 {label}, one per embedding, "
                f"got {values.dtype} {tuple(values.shape)}"
            )
    finite = torch.cat([rows.isfinite().all(dim=1) for rows in torch.split(features, BLOCK_ROWS)])
    bad = (~finite).nonzero().flatten().tolist()
    if bad:
        raise BenchboxError(
            f"{name}: embedding {bad[0]} is not finite ({len(bad)} of {len(features)}); "
            "check the model's weights"
        )
