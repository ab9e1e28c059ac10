"""The attack stage: the queries at all budgets of one attack, in one sweep.

Attacks that are told something else or change something else have stages of their own, which
differ in just that: `benchbox.runs.stages.other_threats`.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import Tensor
from typing_extensions import override

from attacks import AnyAttack, Knowledge
from benchbox.evaluation.attacking import AttackedQueries, attack_queries, queries_at_once
from benchbox.evaluation.average_precision import ApConvention
from benchbox.evaluation.embedding import embed_images
from benchbox.evaluation.real_images import CHANNELS, QUALITY, Through, behind_jpeg, passed
from benchbox.files.atomic import write_bytes, write_json
from benchbox.models.embed import Embed
from benchbox.models.folding import Precision
from benchbox.runs.code import methods_behind
from benchbox.runs.cost import Cost
from benchbox.runs.stages.base import Stage, defining_modules, parameters
from benchbox.runs.stages.data import TestSplit
from benchbox.runs.stages.embed import EmbedStage
from benchbox.runs.stages.knowledge import knowledge_of
from benchbox.runs.workplace import Workplace
from benchbox.training.seeding import seeded

_LOWEST = "features.safetensors"
_DEEPEST = "deepest.safetensors"
_PARTS = "parts.safetensors"
_CHANNELS = "channels.safetensors"
"""Embeddings of the points with the lowest AP, of those with the deepest first match where they
are others, which part of the attack found each query, by budget; and of all images after what
they may pass on their way, by its name and budget."""

SAMPLES = 12
"""How many adversarial queries every attack stage keeps: figures show a few of them."""


def sample_rows(queries: int) -> list[int]:
    """Return the rows of the queries whose adversarial images are always kept, evenly spread."""
    return sorted(
        set(np.linspace(0, queries - 1, min(SAMPLES, queries)).round().astype(int).tolist())
    )


def images_file(budget: Fraction) -> str:
    """Return the name of the file that holds the adversarial queries of a budget."""
    of_255 = budget * 255
    # 10/255 is 2/51 in lowest terms, which nobody looks for; half a 255th is 0.5-255.
    if Fraction(text := f"{float(of_255):g}") == of_255:
        return f"adversarial-{text}-255.safetensors"
    return f"adversarial-{budget.numerator}-{budget.denominator}.safetensors"


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

    @property
    @override
    def title(self) -> str:
        through = "" if self.through == "nothing" else f" through {self.through}"
        return f"{self.attack.name}{through} on {self.clean.title.removeprefix('embed ')}"

    @property
    @override
    def needs(self) -> tuple[Stage, ...]:
        # The weights are read again, so a damaged training has to be mended first.
        return (self.clean, self.clean.network)

    @property
    @override
    def cost(self) -> Cost:
        counts = self.clean.data.counts
        images, gradients = counts.query_images, self.attack.gradients(self.budgets)
        ranked = 0 if self.attack.threat == "query" else counts.gallery_images
        if self.attacked == "gallery":
            images, ranked = ranked, images
        channels = len(CHANNELS) if self.keep else 0
        return Cost(
            network=self.clean.passed,
            ascended=images * gradients,
            embedded=images * len(self.budgets) * (1 + channels),
            pairs=images * gradients * ranked,
            loads=1,
        )

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
        data = self.clean.data
        records = data.records(place, self.attacked)
        embed = self.clean.embed(place, self.attacked)
        known = self.knowledge(place, embed)
        aim = self.attack.prepare(known)
        coarser = None
        if self.precision != "fp32":
            coarser = self.clean.embed(place, self.attacked, precision=self.precision)
        ranked = 0 if known.gallery is None else len(known.gallery.pids)
        results = attack_queries(
            self.shown(embed),
            self.attack,
            data.test_images(place, self.attacked),
            aim,
            budgets=[float(budget) for budget in self.budgets],
            generators=[seeded(self.seed, self.attack.name, record.key) for record in records],
            batch_size=queries_at_once(place.batch_size, ranked),
            device=place.device,
            ascend_on=None if coarser is None else self.shown(coarser),
            keep=range(len(records)) if self.keep else sample_rows(len(records)),
            eight_bit=self.eight_bit,
            progress=place.report,
        )
        if self.keep:
            self._write_channels(place, folder, embed, results)
        self._write(folder, results)
        write_json(
            folder / "counts.json",
            {
                "lone_queries": int(aim.lone.sum()),
                "draws": known.draws,
                "found_by": [self._found_by(result) for result in results],
            },
        )

    def knowledge(self, place: Workplace, embed: Embed) -> Knowledge:
        """Return what the attack is told."""
        return knowledge_of(self.clean, place, embed, threat=self.attack.threat, ap=self.ap)

    def shown(self, embed: Embed) -> Embed:
        """Return a model as the attack meets it."""
        return embed if self.through == "nothing" else behind_jpeg(embed, quality=self.quality)

    def _write(self, folder: Path, results: Sequence[AttackedQueries]) -> None:
        found = dict(zip(map(str, self.budgets), results, strict=True))
        lowest = {budget: result.features for budget, result in found.items()}
        write_bytes(folder / _LOWEST, save(lowest))
        deepest = {budget: result.deepest for budget, result in found.items()}
        if not all(torch.equal(lowest[budget], deepest[budget]) for budget in found):
            write_bytes(folder / _DEEPEST, save(deepest))
        write_bytes(folder / _PARTS, save({b: result.part for b, result in found.items()}))
        for budget, result in zip(self.budgets, results, strict=True):
            write_bytes(folder / images_file(budget), save({"images": result.images}))

    def _write_channels(
        self, place: Workplace, folder: Path, embed: Embed, results: Sequence[AttackedQueries]
    ) -> None:
        """Embed all adversarial queries as they are, after 8 bits and after JPEG."""
        found = {
            f"{name} {budget}": embed_images(
                embed, images, batch_size=place.batch_size, device=place.device
            )
            for budget, result in zip(self.budgets, results, strict=True)
            for name, images in passed(result.images, quality=self.quality)
        }
        write_bytes(folder / _CHANNELS, save(found))

    def _found_by(self, result: AttackedQueries) -> dict[str, int]:
        """Return how many queries each part of the attack found."""
        parts = self.attack.parts
        counts = torch.bincount(result.part, minlength=len(parts)).tolist()
        return dict(zip(parts, counts, strict=True))

    def features(self, place: Workplace, budget: Fraction) -> Tensor:
        """Return the saved embeddings of the queries attacked at ``budget``: the lowest AP."""
        return load_file(self._folder(place) / _LOWEST)[str(budget)]

    def deepest(self, place: Workplace, budget: Fraction) -> Tensor:
        """Return those whose first match ranks deepest; for most attacks the same."""
        folder = self._folder(place)
        file = folder / _DEEPEST if (folder / _DEEPEST).is_file() else folder / _LOWEST
        return load_file(file)[str(budget)]

    def channels(self, place: Workplace, budget: Fraction) -> dict[str, Tensor]:
        """Return name → embeddings of the queries that passed 8 bits or JPEG; see `CHANNELS`.

        None where not all adversarial images were kept.
        """
        file = self._folder(place) / _CHANNELS
        if not file.is_file():
            return {}
        stored = load_file(file)
        return {name: stored[f"{name} {budget}"] for name in CHANNELS}

    def parts(self, place: Workplace, budget: Fraction) -> Tensor:
        """Return (Q,) which of ``attack.parts`` found each query at ``budget``."""
        return load_file(self._folder(place) / _PARTS)[str(budget)]

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
        counts: dict[str, Any] = json.loads((self._folder(place) / "counts.json").read_text())
        return counts

    def _folder(self, place: Workplace) -> Path:
        return place.store.folder(self.kind, self.key)
