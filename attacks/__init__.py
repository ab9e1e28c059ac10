"""Attacks: one file each, over one ascent loop."""

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
