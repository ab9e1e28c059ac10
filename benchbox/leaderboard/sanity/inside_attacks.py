"""Attacks that know the evaluation, or climb the ranking of the query set, on a subject."""

from typing import Any

import torch

from attacks import AnyAttack, Knowledge, Labelled, SmoothAP, WorstCase
from attacks.randomised import TRIED, draws_of
from attacks.tiers import Tier
from benchbox.evaluation.attacking import attack_queries
from benchbox.evaluation.scoring import whole_knowledge
from benchbox.leaderboard.sanity.subject import Floats, Subject
from benchbox.models.embed import of_rows


def worst_case(subject: Subject, tier: Tier) -> Floats:
    """Return the AP (%) that the worst case leaves of every query at the smallest budget."""
    return _left_by(subject, WorstCase(tier=tier))


def smooth_ap(subject: Subject) -> Floats:
    """Return the AP (%) that Auto-PGD on the query set leaves, in as many steps as the protocol's.

    Only the examined queries stand in for the gallery.
    """
    return _left_by(subject, SmoothAP(steps=subject.attack.steps))


def _left_by(subject: Subject, attack: AnyAttack[Any]) -> Floats:
    (attacked,) = attack_queries(
        subject.embed,
        attack,
        subject.queries,
        attack.prepare(_knowledge(subject)),
        budgets=subject.budgets[:1],
        generators=subject.generators(attack),
        batch_size=subject.batch_size,
        device=subject.device,
    )
    return subject.ranked(attacked.features)


def _knowledge(subject: Subject) -> Knowledge:
    query = Labelled(
        subject.embedded(subject.clean),
        torch.tensor(subject.query_pids),
        torch.tensor(subject.query_camids),
    )
    gallery = Labelled(
        subject.gallery, torch.tensor(subject.gallery_pids), torch.tensor(subject.gallery_camids)
    )
    draws = draws_of(of_rows(subject.embed, TRIED), subject.clean[TRIED].to(subject.device))
    return whole_knowledge(query, gallery, ap=subject.ap, device=subject.device, draws=draws)
