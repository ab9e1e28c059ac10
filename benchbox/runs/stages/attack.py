"""The attack stage: the queries at all budgets of one attack, in one sweep."""

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

from attacks import AnyAttack
from benchbox.evaluation.attacking import AttackedQueries, attack_queries
from benchbox.evaluation.average_precision import ApConvention
from benchbox.files.atomic import write_bytes, write_json
from benchbox.models.folding import Precision
from benchbox.runs.stages.base import Stage, defining_modules, parameters
from benchbox.runs.stages.embed import EmbedStage
from benchbox.runs.stages.knowledge import knowledge_of
from benchbox.runs.workplace import Workplace
from benchbox.training.seeding import seeded

_LOWEST = "features.safetensors"
_DEEPEST = "deepest.safetensors"
_PARTS = "parts.safetensors"
"""Embeddings of the points with the lowest AP, of those with the deepest first match where they
are others, and which part of the attack found each query, by budget."""

SAMPLES = 12
"""How many adversarial queries every attack stage keeps: figures show a few of them."""


def sample_rows(queries: int) -> list[int]:
    """Return the rows of the queries whose adversarial images are always kept, evenly spread."""
    return sorted(
        set(np.linspace(0, queries - 1, min(SAMPLES, queries)).round().astype(int).tolist())
    )


def images_file(budget: Fraction) -> str:
    """Return the name of the file that holds the adversarial queries of a budget."""
    return f"adversarial-{budget.numerator}-{budget.denominator}.safetensors"


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
        ap: the convention of average precision, for attacks that are told how queries retrieve.
    """

    kind: ClassVar[str] = "attack"
    code: ClassVar[tuple[str, ...]] = (
        "attacks",
        "benchbox.data",
        "benchbox.models",
        "benchbox.evaluation",
        "benchbox.runs.stages.knowledge",
        "benchbox.training.seeding",
    )

    clean: EmbedStage
    attack: AnyAttack[Any]
    budgets: tuple[Fraction, ...]
    seed: int
    precision: Precision = "fp32"
    keep: bool = False
    ap: ApConvention = "trapezoid"

    @property
    @override
    def title(self) -> str:
        return f"{self.attack.name} on {self.clean.title.removeprefix('embed ')}"

    @property
    @override
    def needs(self) -> tuple[Stage, ...]:
        # The weights are read again, so a damaged training has to be mended first.
        return (self.clean, self.clean.network)

    @property
    @override
    def cost(self) -> float:
        return 0.2 * self.attack.passes * len(self.budgets)

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
            **({} if self.attack.threat == "query" else {"ap": self.ap}),
        }

    @override
    def extra_code(self) -> set[str]:
        return defining_modules(self.attack) | self.clean.extra_code()

    @override
    def work(self, place: Workplace, folder: Path) -> None:
        data = self.clean.data
        records = data.records(place, "query")
        embed = self.clean.embed(place, "query")
        known = knowledge_of(self.clean, place, embed, threat=self.attack.threat, ap=self.ap)
        aim = self.attack.prepare(known)
        coarser = None
        if self.precision != "fp32":
            coarser = self.clean.embed(place, "query", precision=self.precision)
        results = attack_queries(
            embed,
            self.attack,
            data.images(place, "query"),
            aim,
            budgets=[float(budget) for budget in self.budgets],
            generators=[seeded(self.seed, self.attack.name, record.key) for record in records],
            batch_size=place.batch_size,
            device=place.device,
            ascend_on=coarser,
            keep=range(len(records)) if self.keep else sample_rows(len(records)),
            progress=place.report,
        )
        self._write(folder, results)
        write_json(
            folder / "counts.json",
            {
                "lone_queries": int(aim.lone.sum()),
                "draws": known.draws,
                "found_by": [self._found_by(result) for result in results],
            },
        )

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
