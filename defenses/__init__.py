"""Defenses: one file each, a training recipe and an input guard.

``DEFENSES`` holds ours by name. A plugin or an installed package adds to the harness' copy of it
by exporting ``Defense`` objects; nobody edits this file for that.
"""

from types import MappingProxyType

from defenses.act import ACT, AntiCollapseTriplet
from defenses.adv_train import ADV_TRAIN, ADV_TRAIN_AWP, ADV_TRAIN_EMA, AdvTrain
from defenses.adversarial import AdversarialRecipe
from defenses.amd import AMD, AdversarialMetricDefense
from defenses.at_pgd import AT_PGD, ATPGD
from defenses.base import Defense, Guard, PreparedGuard, register
from defenses.bit_squeezing import BIT_SQUEEZING, BitSqueezing
from defenses.bs_ms import BS_MS, SqueezeThenSmooth
from defenses.das import DAS, DynamicAttack
from defenses.ddd.recipe import ABLATION, DDD, DualInvariantDefense
from defenses.est import EST, EmbeddingShiftedTriplet
from defenses.fare import FARE, Fare
from defenses.goat import GOAT, Goat
from defenses.hardened import Hardened
from defenses.hm_ics import HM_ICS, HardnessManipulation
from defenses.jpeg import JPEG, Jpeg
from defenses.lgpr import LGPR, LGPR_ADVERSARIAL, Lgpr, LgprAdversarial
from defenses.median_smoothing import MEDIAN_SMOOTHING, MedianSmoothing
from defenses.metric_at import METRIC_AT, MetricAT
from defenses.origin import ORIGIN, ORIGIN_EQUAL_EPOCHS, Vanilla
from defenses.purification import PURIFICATION, Purification
from defenses.random_resize_pad import RANDOM_RESIZE_PAD, RandomResizePad
from defenses.total_variation import TOTAL_VARIATION, TotalVariation
from defenses.trades import TRADES, TRADES_1, Trades
from defenses.worst_case_training import WORST_CASE_TRAINING, WorstCaseTraining

__all__ = [
    "ATPGD",
    "BEYOND_THE_PAPER",
    "DEFENSES",
    "AdvTrain",
    "AdversarialMetricDefense",
    "AdversarialRecipe",
    "AntiCollapseTriplet",
    "BitSqueezing",
    "Defense",
    "DualInvariantDefense",
    "DynamicAttack",
    "EmbeddingShiftedTriplet",
    "Fare",
    "Goat",
    "Guard",
    "Hardened",
    "HardnessManipulation",
    "Jpeg",
    "Lgpr",
    "LgprAdversarial",
    "MedianSmoothing",
    "MetricAT",
    "PreparedGuard",
    "Purification",
    "RandomResizePad",
    "SqueezeThenSmooth",
    "TotalVariation",
    "Trades",
    "Vanilla",
    "WorstCaseTraining",
    "register",
]

_TABLE_2 = (ORIGIN, BIT_SQUEEZING, MEDIAN_SMOOTHING, BS_MS, AMD, ADV_TRAIN, DAS, DDD)
_TABLES_3_AND_4 = (METRIC_AT, *ABLATION, AT_PGD)
BEYOND_THE_PAPER = (
    GOAT,
    EST,
    ACT,
    HM_ICS,
    TRADES,
    TRADES_1,
    FARE,
    LGPR,
    LGPR_ADVERSARIAL,
    ADV_TRAIN_AWP,
    ADV_TRAIN_EMA,
    WORST_CASE_TRAINING,
    JPEG,
    TOTAL_VARIATION,
    RANDOM_RESIZE_PAD,
    PURIFICATION,
)
"""Rows that the field knows and the paper's tables do not have."""

DEFENSES = MappingProxyType(
    {
        defense.name: defense
        for defense in (*_TABLE_2, *_TABLES_3_AND_4, ORIGIN_EQUAL_EPOCHS, *BEYOND_THE_PAPER)
    }
)
"""Our defenses by name, read-only: the paper's Table 2 in its order, then Tables 3 and 4, the
control, and what the paper does not have."""
