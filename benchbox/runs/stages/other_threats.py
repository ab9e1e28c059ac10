"""Attack stages of other threat models: who is told something else, or changes something else."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import torch
from safetensors.torch import load_file, save
from torch import Tensor
from typing_extensions import override

from attacks import Knowledge
from attacks.targeted import Impersonation
from attacks.universal import TrainingKnowledge
from benchbox.errors import BenchboxError
from benchbox.files.atomic import write_bytes
from benchbox.models.embed import Embed
from benchbox.runs.cost import Cost
from benchbox.runs.stages.attack import AttackStage
from benchbox.runs.stages.data import Data, TestSplit
from benchbox.runs.stages.train import TrainStage
from benchbox.runs.workplace import Workplace
from benchbox.training.seeding import seeded

_CHOSEN = "chosen.safetensors"


@dataclass(frozen=True)
class OtherThreatStage(AttackStage):
    """What these stages have in common: their key covers the stage they vary."""

    @override
    def extra_code(self) -> set[str]:
        return super().extra_code() | {AttackStage.__module__, __name__}


@dataclass(frozen=True)
class UniversalStage(OtherThreatStage):
    """An attack that is made on training images: those of the model's own training.

    Of a model that was trained elsewhere the images are not here; it is attacked by means of the
    training split of the dataset that it is tested on.
    """

    @property
    @override
    def cost(self) -> Cost:
        images = self._training_data.counts.train_images
        made = images * self.attack.gradients(self.budgets)
        return replace(super().cost, ascended=made, loads=2)

    @override
    def knowledge(self, place: Workplace, embed: Embed) -> Knowledge:
        known = super().knowledge(place, embed)
        data = self._training_data
        records = data.records(place, "train")
        if not records:
            raise BenchboxError(
                f"{self.attack.name}: {data.name} has no training images to make it on; leave it "
                "out for this dataset."
            )
        model = replace(self.clean, data=data).embed(place, "train")
        return TrainingKnowledge(
            known.query,
            draws=known.draws,
            embed=self.shown(model),
            images=data.training_set(place).images,
            pids=torch.tensor([record.pid for record in records]),
            seed=seeded(self.seed, self.attack.name).initial_seed(),
            device=place.device,
        )

    @property
    def _training_data(self) -> Data:
        network = self.clean.network
        return network.data if isinstance(network, TrainStage) else self.clean.data


@dataclass(frozen=True)
class GalleryStage(OtherThreatStage):
    """An attack that changes the gallery's images and leaves the queries as they are.

    `features` are the gallery's, in its order. Of its images only a sample is kept.
    """

    attacked: ClassVar[TestSplit] = "gallery"

    @override
    def lone_queries(self, place: Workplace) -> int:
        """Return 0: what has no match here are images that no query should find."""
        return 0


@dataclass(frozen=True)
class TargetedStage(OtherThreatStage):
    """An attack that makes queries retrieve identities that it chose, which are kept."""

    attack: Impersonation

    @override
    def work(self, place: Workplace, folder: Path) -> None:
        super().work(place, folder)
        known = self.knowledge(place, self.clean.embed(place, "query"))
        chosen = self.attack.chosen(known)
        write_bytes(folder / _CHOSEN, save({"pids": chosen.pids, "camids": chosen.camids}))

    def chosen(self, place: Workplace) -> tuple[Tensor, Tensor]:
        """Return (Q,) the identities that the queries are to retrieve, and cameras to leave out."""
        found = load_file(self._folder(place) / _CHOSEN)
        return found["pids"], found["camids"]
