"""Makes the subject of an examination of a model, its guard and its clean embeddings."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from attacks import Attack
from benchbox.data.images import load_images
from benchbox.data.protocol import ReidDataset
from benchbox.leaderboard.protocol import Protocol
from benchbox.leaderboard.sanity.subject import Subject
from benchbox.models.folding import attack_ready
from benchbox.models.reid import ReidModel
from benchbox.runs.grid import parse_fraction
from benchbox.runs.registry import Registry
from defenses import Guard

QUERIES = 100
"""How many queries are examined, evenly spread: a standard error of 2 to 4 points of mAP."""


def subject_of(
    model: ReidModel,
    guard: Guard | None,
    *,
    features: Mapping[str, Tensor],
    data: ReidDataset,
    protocol: Protocol,
    registry: Registry,
    device: torch.device,
) -> Subject:
    """Return a defended model with the queries it is examined on.

    Every number of the examination is the board's: its first attack, at its smallest budget where
    nothing else is said, on the model of its first seed.

    Args:
        model: of the protocol's first seed.
        guard: what stands before it.
        features: ``query`` (Q, D) and ``gallery`` (G, D), clean embeddings behind the guard.
        data: tested on.
        protocol: of the board.
        registry: that has its attacks.
        device: where to attack.
    """
    rows = examined_rows(len(data.query))
    queries = [data.query[row] for row in rows]
    attack = _attack(protocol, registry)
    guides = attack.guides(features["query"], torch.tensor([r.pid for r in data.query]))
    return Subject(
        model=attack_ready(model.to(device)),
        guard=guard,
        attack=attack,
        budgets=tuple(sorted(map(float, protocol.fractions))),
        queries=load_images(queries, size=protocol.image_size),
        guides=guides[torch.tensor(rows)],
        query_pids=[record.pid for record in queries],
        query_camids=[record.camid for record in queries],
        keys=[record.key for record in queries],
        gallery=features["gallery"],
        gallery_pids=[record.pid for record in data.gallery],
        gallery_camids=[record.camid for record in data.gallery],
        ap=protocol.ap,
        seed=protocol.seeds[0],
        device=device,
    )


def examined_rows(queries: int) -> list[int]:
    """Return the places of the queries that are examined among all of a dataset's."""
    spread = np.linspace(0, queries - 1, min(QUERIES, queries))
    return [int(row) for row in np.unique(spread.round())]


def _attack(protocol: Protocol, registry: Registry) -> Attack:
    return registry.attacks[protocol.attacks[0]](
        steps=protocol.steps,
        step_size=float(parse_fraction(protocol.step_size)),
        own=protocol.guides,
        distance=protocol.distance,
    )
