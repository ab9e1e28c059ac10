"""What the sanity checks look at: one defended model on some queries, and ways to attack it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from attacks import AnyAttack, Attack, Guides, WorstCase
from attacks.start import uniform_noise
from attacks.tiers import Tier
from benchbox.data.images import to_unit
from benchbox.data.protocol import ReidDataset
from benchbox.errors import BenchboxError
from benchbox.evaluation.attacking import attack_queries
from benchbox.evaluation.embedding import embed_images
from benchbox.evaluation.retrieval import evaluate_retrieval
from benchbox.evaluation.valid_matches import valid_matches
from benchbox.leaderboard.board_protocol import Protocol
from benchbox.leaderboard.sanity.examined_rows import examined_rows
from benchbox.models.embed import Embed
from benchbox.models.folding import attack_ready
from benchbox.results.networks import Network
from benchbox.runs.attack_settings import attack_as_set
from benchbox.runs.registry import Registry
from benchbox.runs.stages.embed import guarded
from benchbox.training.seeding import seeded
from defenses import Guard

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A defended model under examination.

    Attributes:
        model: images (B, 3, H, W) in [0, 1] → (B, D), differentiable, in evaluation mode.
        ids: (Q,) each, what the model takes beside the queries, such as cameras; often nothing.
        guard: what stands before the model; None for nothing.
        attack: the protocol's first attack, with the protocol's steps and step size.
        budgets: the protocol's, in [0, 1], the smallest first.
        tier: of the worst case that the protocol ranks by; None where it ranks by another number.
        queries: (Q, 3, H, W) uint8 images.
        guides: what the attack steers by, from the clean embeddings of the whole query set.
        query_pids: (Q,) whom each query shows.
        query_camids: (Q,) the camera that took it.
        keys: (Q,) names of the query images, which seed random starts.
        gallery: (G, D) clean embeddings behind the guard.
        gallery_pids: (G,) whom each gallery image shows.
        gallery_camids: (G,) the camera that took it.
        ap: the convention of average precision.
        seed: what random starts are drawn from, with the attack's name and the query's key.
        batch_size: how many queries are attacked at a time.
        device: where the model lives.
    """

    model: nn.Module
    ids: tuple[Tensor, ...] = ()
    guard: Guard | None
    attack: Attack
    budgets: tuple[float, ...]
    tier: Tier | None = None
    queries: Tensor
    guides: Guides
    query_pids: Sequence[int]
    query_camids: Sequence[int]
    keys: Sequence[str]
    gallery: Tensor
    gallery_pids: Sequence[int]
    gallery_camids: Sequence[int]
    device: torch.device
    ap: Literal["trapezoid", "step"] = "trapezoid"
    seed: int = 0
    batch_size: int = 64

    @property
    def embed(self) -> Embed:
        """Images (B, 3, H, W) in [0, 1] → (B, D): the model behind its guard."""
        return self.behind(self.guard)

    def behind(self, guard: Guard | None) -> Embed:
        """Return the model behind another guard, bound to what the queries come with."""
        return guarded(self.model, guard, self.ids)

    def attacked(
        self,
        *,
        budgets: Sequence[float] | None = None,
        through: Embed | None = None,
        **changes: Any,
    ) -> list[Tensor]:
        """Return adversarial queries, (Q, 3, H, W) in [0, 1], one tensor a budget.

        Args:
            budgets: by default the smallest of the protocol alone.
            through: whose gradient the attack follows; by default the defended model's own.
            changes: of the attack's parameters, such as ``steps=64``.
        """
        results = attack_queries(
            self.embed,
            replace(self.attack, **changes),
            self.queries,
            self.guides,
            budgets=self.budgets[:1] if budgets is None else budgets,
            generators=self.generators(self.attack),
            batch_size=self.batch_size,
            device=self.device,
            ascend_on=through,
            keep=range(len(self.queries)),
        )
        return [result.images for result in results]

    def starts(self) -> list[Tensor]:
        """Return the points whose gradients are looked at, (Q, 3, H, W) in [0, 1] each.

        A random one in the ball, and the clean queries if the attack starts there.
        """
        clean = self.clean
        noise = uniform_noise(clean, list(range(len(clean))), self.generators(self.attack))
        near = (clean + self.budgets[0] * noise).clamp(0, 1)
        return [near] if self.attack.start == "random" else [clean, near]

    def average_precision(self, images: Tensor) -> Floats:
        """Return the AP (%) of every query that has a match, as these images retrieve."""
        return self.ranked(self.embedded(images))

    def embedded(self, images: Tensor) -> Tensor:
        """Return the (N, D) embeddings of images, on the CPU."""
        return embed_images(self.embed, images, batch_size=self.batch_size, device=self.device)

    def ranked(self, features: Tensor) -> Floats:
        """Return the AP (%) of every query that has a match, as these embeddings retrieve."""
        found = evaluate_retrieval(
            features,
            self.gallery,
            list(self.query_pids),
            list(self.gallery_pids),
            list(self.query_camids),
            list(self.gallery_camids),
            ap=self.ap,
        )
        return 100 * found.ap[~np.isnan(found.ap)]

    def generators(self, attack: AnyAttack[Any]) -> list[torch.Generator]:
        """Return what an attack draws its random starts from, one a query."""
        return [seeded(self.seed, attack.name, key) for key in self.keys]

    @property
    def pids(self) -> NDArray[np.int64]:
        """The identities of the queries that have a match: of another camera than theirs."""
        query = list(zip(self.query_pids, self.query_camids, strict=True))
        gallery = list(zip(self.gallery_pids, self.gallery_camids, strict=True))
        matches = zip(self.query_pids, valid_matches(query, gallery), strict=True)
        return np.array([pid for pid, count in matches if count])

    @property
    def clean(self) -> Tensor:
        """The clean queries in [0, 1]."""
        return to_unit(self.queries)


def tier_of(protocol: Protocol) -> Tier | None:
    """Return the tier of the worst case at a protocol's smallest budget; None where it has none."""
    name = WorstCase.name
    if name not in protocol.attacks or protocol.fractions_of(name)[0] != protocol.fractions[0]:
        return None
    own = protocol.attack.get(name)
    return (own and own.tier) or WorstCase.tier


def subject_of(
    network: Network,
    guard: Guard | None,
    *,
    features: Mapping[str, Tensor],
    data: ReidDataset,
    protocol: Protocol,
    registry: Registry,
    device: torch.device,
) -> Subject:
    """Return a defended model with the queries it is examined on.

    The board says how it is attacked: first attack, smallest budget, model of the first seed.

    Args:
        network: the model of the protocol's first seed.
        guard: what stands before the model; None for nothing.
        features: ``query`` (Q, D) and ``gallery`` (G, D), clean embeddings behind the guard.
        data: the dataset whose queries are attacked.
        protocol: the board's.
        registry: holds the board's attacks.
        device: where to attack.
    """
    rows = examined_rows(len(data.query))
    queries, gallery = [data.query[row] for row in rows], data.gallery
    attack = attack_as_set(registry.attacks[protocol.attacks[0]], protocol)
    if not isinstance(attack, Attack):
        raise BenchboxError(
            f"board {protocol.board}: its first attack, {attack.name}, has no guides; sanity "
            "checks need one that has, such as fna."
        )
    guides = attack.guides(features["query"], torch.tensor([r.pid for r in data.query]))
    return Subject(
        model=attack_ready(network.model.to(device)),
        ids=network.ids(queries, device),
        guard=guard,
        attack=attack,
        budgets=tuple(sorted(map(float, protocol.fractions))),
        tier=tier_of(protocol),
        queries=network.images(queries),
        guides=guides[torch.tensor(rows)],
        query_pids=[record.pid for record in queries],
        query_camids=[data.query_camids[row] for row in rows],
        keys=[record.key for record in queries],
        gallery=features["gallery"],
        gallery_pids=[record.pid for record in gallery],
        gallery_camids=data.gallery_camids,
        ap=protocol.ap,
        seed=protocol.seeds[0],
        device=device,
    )
