"""What an attack is told of a clean evaluation: as much as its threat model allows."""

import torch
from torch import Tensor

from attacks import Knowledge, Labelled
from attacks.base import ThreatModel
from attacks.randomised import TRIED, draws_of
from benchbox.data.images import to_unit
from benchbox.evaluation.average_precision import ApConvention
from benchbox.evaluation.scoring import whole_knowledge
from benchbox.models.embed import Embed, of_rows
from benchbox.runs.stages.data import TestSplit
from benchbox.runs.stages.embed import EmbedStage
from benchbox.runs.workplace import Workplace


def knowledge_of(
    clean: EmbedStage, place: Workplace, embed: Embed, *, threat: ThreatModel, ap: ApConvention
) -> Knowledge:
    """Return what an attack on the queries knows, from their clean embeddings and the gallery's.

    Args:
        clean: the embeddings, done.
        place: where they are.
        embed: the defended model, ready for the queries.
        threat: of the attack; only other models than ``query`` are told of the gallery.
        ap: the convention of average precision that the cell is ranked by.
    """
    features = clean.features(place)
    query = _labelled(clean, place, "query", features["query"])
    draws = _draws(clean, place, embed)
    if threat == "query":
        return Knowledge(query, draws=draws)
    gallery = _labelled(clean, place, "gallery", features["gallery"])
    return whole_knowledge(query, gallery, ap=ap, device=place.device, draws=draws)


def _labelled(clean: EmbedStage, place: Workplace, split: TestSplit, features: Tensor) -> Labelled:
    records = clean.data.records(place, split)
    pids = torch.tensor([record.pid for record in records])
    return Labelled(features, pids, torch.tensor(clean.data.camids(place, split)))


def _draws(clean: EmbedStage, place: Workplace, embed: Embed) -> int:
    images = to_unit(clean.data.test_images(place, "query")[TRIED].to(place.device))
    # A guard that draws at random draws the same afterwards as if nobody had asked.
    devices = [place.device] if place.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        return draws_of(of_rows(embed, TRIED), images)
