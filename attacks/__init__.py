"""Attacks: one file each, over one ascent loop.

An attack is guides × objective × start: what a query is pushed from and pulled to, what is
increased, and where the ascent begins. ``ATTACKS`` holds ours by name.
"""

from attacks.base import Attack
from attacks.fna import FNA
from attacks.guides import Guides
from attacks.metric_ifgsm import MetricIFGSM
from attacks.registry import ATTACKS, register
from attacks.sma import SMA

__all__ = [
    "ATTACKS",
    "FNA",
    "SMA",
    "Attack",
    "Guides",
    "MetricIFGSM",
    "register",
]
