"""The attack stage: the queries at all budgets of one attack, in one sweep.

Attacks that are told something else or change something else have stages of their own, which
differ in just that: `benchbox.runs.stages.other_threats`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor
from typing_extensions import override

from attacks import AnyAttack, Knowledge
from benchbox.data.jpeg import QUALITY
from benchbox.evaluation.attacking import AttackedQueries, attack_queries, queries_at_once
from benchbox.evaluation.average_precision import ApConvention
from benchbox.evaluation.embedding import embed_images
from benchbox.evaluation.real_images import CHANNELS, Through, behind_jpeg, passed
from benchbox.models.embed import Embed, of_rows
from benchbox.models.folding import Precision
from benchbox.runs.code import methods_behind
from benchbox.runs.cost import Cost
from benchbox.runs.stages.attacked import (
    CHANNEL_FEATURES,
    COUNTS,
    DEEPEST,
    LOWEST,
    PARTS,
    Attacked,
    channel_name,
    images_file,
)
from benchbox.runs.stages.base import Stage, defining_modules, parameters
from benchbox.runs.stages.data import TestSplit
from benchbox.runs.stages.embed import EmbedStage
from benchbox.runs.stages.knowledge import knowledge_of
from benchbox.runs.workplace import Workplace
from benchbox.training.seeding import seeded

SAMPLES = 12
"""How many adversarial queries every attack stage keeps: figures show a few of them."""


def sample_rows(queries: int) -> list[int]:
    """Return the rows of the queries whose adversarial images are always kept, evenly spread."""
    return sorted(
        set(np.linspace(0, queries - 1, min(SAMPLES, queries)).round().astype(int).tolist())
    )


_ATTACKING = ("benchbox.evaluation", "benchbox.runs.stages.knowledge")
"""What of benchbox itself calls attacks, and so decides which modules of theirs count."""


@dataclass(frozen=True)
class AttackStage(Stage):
    """Attack the queries at all budgets in one sweep and embed the results.

    Attributes:
        clean: the clean embeddings, which give model, guard, data and what the attack knows.
        attack: the attack with its parameters; its own eps is not used.
        budgets: the L∞ budgets, as fractions of the pixel range.
        seed: seed of random starts.
        precision: in which the attack's gradients are computed; embeddings are always fp32.
        keep: store all adversarial images; without it only those of a few queries, for figures.
        eight_bit: round what was found to 8 bits inside its ball before it is embedded.
        ap: the convention of average precision, for attacks that are told how queries retrieve.
        through: what stands before the model while it is attacked, and when what was found is
            embedded; what the attack knows are clean embeddings without it.
        quality: of a JPEG, that one or the one that kept images pass.
    """

    kind: ClassVar[str] = "attack"
    code: ClassVar[tuple[str, ...]] = (
        "benchbox.data",
        "benchbox.models",
        *_ATTACKING,
        "benchbox.runs.stages.attacked",
        "benchbox.runs.stages.shard",
        "benchbox.training.seeding",
    )

    clean: EmbedStage
    attack: AnyAttack[Any]
    budgets: tuple[Fraction, ...]
    seed: int
    precision: Precision = "fp32"
    keep: bool = False
    eight_bit: bool = False
    ap: ApConvention = "trapezoid"
    through: Through = "nothing"
    quality: int = QUALITY

    attacked: ClassVar[TestSplit] = "query"
    """The split whose images are changed."""
    in_ranges: ClassVar[bool] = True
    """Whether ranges of the images may be attacked apart: what each is told is quickly made, and
    beside what is found nothing is left."""

    @property
    @override
    def title(self) -> str:
        through = "" if self.through == "nothing" else f" through {self.through}"
        return f"{self.attack.name}{through} on {self.clean.title.removeprefix('embed ')}"

    @property
    @override
    def needs(self) -> tuple[Stage, ...]:
        # The weights are read again, so a damaged training has to be mended first.
        return (self.clean, *self.clean.needs)

    @property
    @override
    def cost(self) -> Cost:
        images, gradients = self.images_attacked, self.attack.gradients(self.budgets)
        counts = self.clean.data.counts
        ranked = counts.gallery_images if self.attacked == "query" else counts.query_images
        if self.attack.threat == "query":
            ranked = 0
        channels = len(CHANNELS) if self.keep else 0
        return Cost(
            network=self.clean.passed(precision=self.precision),
            ascended=images * gradients,
            embedded=images * len(self.budgets) * (1 + channels),
            pairs=images * gradients * ranked,
            loads=1,
        )

    @property
    def images_attacked(self) -> int:
        """How many images are changed, from the dataset's counts."""
        counts = self.clean.data.counts
        return counts.query_images if self.attacked == "query" else counts.gallery_images

    @override
    def settings(self) -> dict[str, Any]:
        attack = parameters(self.attack)
        del attack["eps"]
        return {
            "attack": attack,
            "budgets": [str(budget) for budget in self.budgets],
            "seed": self.seed,
            "precision": self.precision,
            "keep": self.keep,
            **({"eight_bit": True} if self.eight_bit else {}),
            **({} if self.through == "nothing" else {"through": self.through}),
            **({} if self.quality == QUALITY else {"jpeg_quality": self.quality}),
            **({} if self.attack.threat == "query" else {"ap": self.ap}),
        }

    @override
    def extra_code(self) -> set[str]:
        # Not all of `attacks`: a number stays when an attack is added that it does not rest on.
        attack = defining_modules(self.attack)
        return methods_behind({*attack, *_ATTACKING}) | attack | self.clean.extra_code()

    @override
    def work(self, place: Workplace, folder: Path) -> None:
        everything = slice(0, len(self.clean.data.records(place, self.attacked)))
        self.attack_range(place, everything).write(folder, parts=self.attack.parts)

    def attack_range(self, place: Workplace, rows: slice) -> Attacked:
        """Attack a range of the images, with what the attack knows of all of them."""
        data = self.clean.data
        records = data.records(place, self.attacked)
        whole = self.clean.embed(place, self.attacked)
        known = self.knowledge(place, whole)
        aim = self.attack.prepare(known)
        embed = of_rows(whole, rows)
        coarser = None
        if self.precision != "fp32":
            coarser = self.clean.embed(place, self.attacked, precision=self.precision)
        against = known.query if self.attacked == "gallery" else known.gallery
        ranked = 0 if against is None else len(against.pids)
        kept = range(len(records)) if self.keep else sample_rows(len(records))
        results = attack_queries(
            self.shown(embed),
            self.attack,
            replace(data.test_images(place, self.attacked), records=records[rows]),
            aim[rows],
            budgets=[float(budget) for budget in self.budgets],
            generators=[
                seeded(self.seed, self.attack.name, record.key) for record in records[rows]
            ],
            batch_size=queries_at_once(place.batch_size, ranked),
            device=place.device,
            ascend_on=None if coarser is None else self.shown(of_rows(coarser, rows)),
            keep=[row - rows.start for row in kept if rows.start <= row < rows.stop],
            eight_bit=self.eight_bit,
            first=rows.start,
            progress=place.report,
            notice=place.notice,
        )
        found = dict(zip(self.budgets, results, strict=True))
        return Attacked(
            found=found,
            channels=self._channels(place, embed, found, rows.start) if self.keep else {},
            lone_queries=int(aim.lone[rows].sum()),
            draws=known.draws,
        )

    def knowledge(self, place: Workplace, embed: Embed) -> Knowledge:
        """Return what the attack is told."""
        return knowledge_of(self.clean, place, embed, threat=self.attack.threat, ap=self.ap)

    def shown(self, embed: Embed) -> Embed:
        """Return a model as the attack meets it."""
        return embed if self.through == "nothing" else behind_jpeg(embed, quality=self.quality)

    def _channels(
        self,
        place: Workplace,
        embed: Embed,
        found: Mapping[Fraction, AttackedQueries],
        first: int,
    ) -> dict[str, Tensor]:
        """Embed adversarial images as they are, after 8 bits and after JPEG."""
        seen: dict[str, Tensor] = {}
        for budget, result in found.items():
            for name, images in passed(result.images, quality=self.quality):
                parts = []
                for start in range(0, len(images), place.batch_size):
                    rows = slice(start, start + place.batch_size)
                    torch.manual_seed(first + start)  # for guards that draw; see `attack_queries`
                    parts.append(
                        embed_images(
                            of_rows(embed, rows),
                            images[rows],
                            batch_size=place.batch_size,
                            device=place.device,
                            notice=place.notice,
                        )
                    )
                seen[channel_name(name, budget)] = torch.cat(parts)
        return seen

    def features(self, place: Workplace, budget: Fraction) -> Tensor:
        """Return the saved embeddings of the queries attacked at ``budget``: the lowest AP."""
        return load_file(self._folder(place) / LOWEST)[str(budget)]

    def deepest(self, place: Workplace, budget: Fraction) -> Tensor:
        """Return those whose first match ranks deepest; for most attacks the same."""
        folder = self._folder(place)
        file = folder / DEEPEST if (folder / DEEPEST).is_file() else folder / LOWEST
        return load_file(file)[str(budget)]

    def channels(self, place: Workplace, budget: Fraction) -> dict[str, Tensor]:
        """Return name → embeddings of the queries that passed 8 bits or JPEG; see `CHANNELS`.

        None where not all adversarial images were kept.
        """
        file = self._folder(place) / CHANNEL_FEATURES
        if not file.is_file():
            return {}
        stored = load_file(file)
        return {name: stored[channel_name(name, budget)] for name in CHANNELS}

    def parts(self, place: Workplace, budget: Fraction) -> Tensor:
        """Return (Q,) which of ``attack.parts`` found each query at ``budget``."""
        return load_file(self._folder(place) / PARTS)[str(budget)]

    def images(self, place: Workplace, budget: Fraction) -> Tensor:
        """Return the adversarial queries at ``budget``, all of them where ``keep`` was set."""
        return load_file(self._folder(place) / images_file(budget))["images"]

    def lone_queries(self, place: Workplace) -> int:
        """Return how many queries have no fellow of their identity that the attack knows."""
        return int(self._counts(place)["lone_queries"])

    def draws(self, place: Workplace) -> int:
        """Return how many draws of the model were met: 1, or more where two passes differ."""
        return int(self._counts(place)["draws"])

    def _counts(self, place: Workplace) -> dict[str, Any]:
        counts: dict[str, Any] = json.loads((self._folder(place) / COUNTS).read_text())
        return counts

    def _folder(self, place: Workplace) -> Path:
        return place.store.folder(self.kind, self.key)
