"""Attacks: one file each, over one ascent loop."""

from attacks.ascent_attack import AscentAttack
from attacks.base import AnyAttack, Found, Knowledge, Labelled
from attacks.fna import FNA
from attacks.guides import Guides
from attacks.metric_ifgsm import MetricIFGSM
from attacks.registry import ATTACKS, register
from attacks.sma import SMA

Attack = AscentAttack
"""The base class of attacks by guides, under the name that plugins subclass."""

__all__ = [
    "ATTACKS",
    "FNA",
    "SMA",
    "AnyAttack",
    "AscentAttack",
    "Attack",
    "Found",
    "Guides",
    "Knowledge",
    "Labelled",
    "MetricIFGSM",
    "register",
]
