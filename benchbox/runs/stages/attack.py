"""The attack stage: the queries at all budgets of one attack, in one sweep."""

import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import Tensor
from typing_extensions import override

from attacks import Attack
from benchbox.evaluation.attacking import attack_queries
from benchbox.files.atomic import write_bytes, write_json
from benchbox.models.folding import Precision
from benchbox.runs.stages.base import Stage, defining_modules, parameters
from benchbox.runs.stages.embed import EmbedStage
from benchbox.runs.workplace import Workplace
from benchbox.training.seeding import seeded

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
        clean: the clean embeddings, which give model, guard, data and guides.
        attack: the attack with its parameters; its own eps is not used.
        budgets: the L∞ budgets, as fractions of the pixel range.
        seed: seed of random starts.
        precision: in which the attack's gradients are computed; embeddings are always fp32.
        keep: store all adversarial images; without it only those of a few queries, for figures.
    """

    kind: ClassVar[str] = "attack"
    code: ClassVar[tuple[str, ...]] = (
        "attacks",
        "benchbox.data",
        "benchbox.models",
        "benchbox.evaluation.attacking",
        "benchbox.evaluation.embedding",
        "benchbox.evaluation.validity",
        "benchbox.training.seeding",
    )

    clean: EmbedStage
    attack: Attack
    budgets: tuple[Fraction, ...]
    seed: int
    precision: Precision = "fp32"
    keep: bool = False

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
        return 0.2 * self.attack.steps * len(self.budgets)

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
        }

    @override
    def extra_code(self) -> set[str]:
        return defining_modules(self.attack) | self.clean.extra_code()

    @override
    def work(self, place: Workplace, folder: Path) -> None:
        data = self.clean.data
        records = data.records(place, "query")
        pids = torch.tensor([record.pid for record in records])
        guides = self.attack.guides(self.clean.features(place)["query"], pids)
        embed = self.clean.embed(place, "query")
        fp32 = self.precision == "fp32"
        results = attack_queries(
            embed,
            self.attack,
            data.images(place, "query"),
            guides,
            budgets=[float(budget) for budget in self.budgets],
            generators=[seeded(self.seed, self.attack.name, record.key) for record in records],
            batch_size=place.batch_size,
            device=place.device,
            ascend_on=embed if fp32 else self.clean.embed(place, "query", precision=self.precision),
            keep=range(len(records)) if self.keep else sample_rows(len(records)),
            progress=place.report,
        )
        features = {
            str(budget): result.features
            for budget, result in zip(self.budgets, results, strict=True)
        }
        write_bytes(folder / "features.safetensors", save(features))
        for budget, result in zip(self.budgets, results, strict=True):
            write_bytes(folder / images_file(budget), save({"images": result.images}))
        write_json(folder / "counts.json", {"lone_queries": int(guides.lone.sum())})

    def features(self, place: Workplace, budget: Fraction) -> Tensor:
        """Return the saved embeddings of the queries attacked at ``budget``."""
        folder = place.store.folder(self.kind, self.key)
        return load_file(folder / "features.safetensors")[str(budget)]

    def images(self, place: Workplace, budget: Fraction) -> Tensor:
        """Return the adversarial queries at ``budget``, all of them where ``keep`` was set."""
        folder = place.store.folder(self.kind, self.key)
        return load_file(folder / images_file(budget))["images"]

    def lone_queries(self, place: Workplace) -> int:
        """Return how many queries are the only one of their identity."""
        counts = json.loads((place.store.folder(self.kind, self.key) / "counts.json").read_text())
        return int(counts["lone_queries"])
