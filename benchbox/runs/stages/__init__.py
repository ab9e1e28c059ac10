"""The stages of a run: prepare → train (or given) → embed → attack (→ replay) → rank, rerank.

A large attack or embedding may be split into shards, which are joined to the same artefact.
Corruptions, which nobody aims: embed → corrupt → rank, and embed → sweep.

A stage is a frozen dataclass that holds the stages it needs, so it pickles whole and can be done
by any process that can reach the store.
"""

from benchbox.runs.stages.attack import AttackStage
from benchbox.runs.stages.base import Stage, of_255, parameters, with_needs
from benchbox.runs.stages.corrupt import CorruptStage
from benchbox.runs.stages.data import Data
from benchbox.runs.stages.embed import EmbedStage
from benchbox.runs.stages.embed_shard import EmbedJoin, EmbedShard
from benchbox.runs.stages.given import GivenStage
from benchbox.runs.stages.hardened import HardenedStage
from benchbox.runs.stages.model import ModelStage
from benchbox.runs.stages.other_threats import GalleryStage, TargetedStage, UniversalStage
from benchbox.runs.stages.prepare import PrepareStage
from benchbox.runs.stages.rank import RankStage
from benchbox.runs.stages.rank_corrupted import CorruptedRankStage
from benchbox.runs.stages.rank_targeted import TargetedRankStage
from benchbox.runs.stages.replay import ReplayStage
from benchbox.runs.stages.rerank import RerankStage
from benchbox.runs.stages.shard import AttackShard, JoinStage
from benchbox.runs.stages.sweep import SweepStage
from benchbox.runs.stages.train import TrainStage

__all__ = [
    "AttackShard",
    "AttackStage",
    "CorruptStage",
    "CorruptedRankStage",
    "Data",
    "EmbedJoin",
    "EmbedShard",
    "EmbedStage",
    "GalleryStage",
    "GivenStage",
    "HardenedStage",
    "JoinStage",
    "ModelStage",
    "PrepareStage",
    "RankStage",
    "ReplayStage",
    "RerankStage",
    "Stage",
    "SweepStage",
    "TargetedRankStage",
    "TargetedStage",
    "TrainStage",
    "UniversalStage",
    "of_255",
    "parameters",
    "with_needs",
]
