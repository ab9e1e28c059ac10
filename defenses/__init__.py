"""Defenses: one file each, a training recipe and an input guard.

``DEFENSES`` holds ours by name. A plugin or an installed package adds to the harness' copy of it
by exporting ``Defense`` objects; nobody edits this file for that.
"""

from types import MappingProxyType

from defenses.adv_train import ADV_TRAIN, AdvTrain
from defenses.base import Defense, Guard, register
from defenses.bit_squeezing import BIT_SQUEEZING, BitSqueezing
from defenses.bs_ms import BS_MS, SqueezeThenSmooth
from defenses.median_smoothing import MEDIAN_SMOOTHING, MedianSmoothing
from defenses.origin import ORIGIN, Vanilla

__all__ = [
    "DEFENSES",
    "AdvTrain",
    "BitSqueezing",
    "Defense",
    "Guard",
    "MedianSmoothing",
    "SqueezeThenSmooth",
    "Vanilla",
    "register",
]

DEFENSES = MappingProxyType(
    {
        defense.name: defense
        for defense in (ORIGIN, BIT_SQUEEZING, MEDIAN_SMOOTHING, BS_MS, ADV_TRAIN)
    }
)
"""Our defenses by name, read-only, in the order of the paper's Table 2."""
