"""Attacks, one file each: a threat model, an objective on embeddings, a search inside a ball.

The literature's push from guides and pull to others, over one signed ascent (`ascent_attack`).
The others climb an objective on the ranking itself by Auto-PGD (`apgd`, `rank_objectives`).
"""

from attacks.ascent_attack import AscentAttack
from attacks.base import AnyAttack, Found, Knowledge, Labelled
from attacks.fna import FNA
from attacks.guides import Guides
from attacks.metric_ifgsm import MetricIFGSM
from attacks.registry import ALL_ATTACKS, ATTACKS, FURTHER_ATTACKS, make_attack, register
from attacks.sma import SMA
from attacks.smooth_ap import SmoothAP
from attacks.worst_case import WorstCase

Attack = AscentAttack
"""The base class of attacks by guides, under the name that plugins subclass."""

__all__ = [
    "ALL_ATTACKS",
    "ATTACKS",
    "FNA",
    "FURTHER_ATTACKS",
    "SMA",
    "AnyAttack",
    "AscentAttack",
    "Attack",
    "Found",
    "Guides",
    "Knowledge",
    "Labelled",
    "MetricIFGSM",
    "SmoothAP",
    "WorstCase",
    "make_attack",
    "register",
]
