"""What an attack stage leaves in the store, and how ranges of the queries become the whole."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from benchbox.evaluation.attacking import AttackedQueries, joined
from benchbox.files.atomic import write_bytes, write_json

LOWEST = "features.safetensors"
DEEPEST = "deepest.safetensors"
PARTS = "parts.safetensors"
CHANNEL_FEATURES = "channels.safetensors"
"""Embeddings of the points with the lowest AP, of those with the deepest first match where they
are others, which part of the attack found each query, by budget; and of all images after what
they may pass on their way, by its name and budget."""
COUNTS = "counts.json"


def images_file(budget: Fraction) -> str:
    """Return the name of the file that holds the adversarial queries of a budget."""
    of_255 = budget * 255
    # 10/255 is 2/51 in lowest terms, which nobody looks for; half a 255th is 0.5-255.
    if Fraction(text := f"{float(of_255):g}") == of_255:
        return f"adversarial-{text}-255.safetensors"
    return f"adversarial-{budget.numerator}-{budget.denominator}.safetensors"


def channel_name(channel: str, budget: Fraction) -> str:
    """Return by what the embeddings are named of queries that passed a channel."""
    return f"{channel} {budget}"


@dataclass(frozen=True)
class Attacked:
    """Queries after an attack, all of them or a range.

    Attributes:
        found: budget → what was found there.
        channels: `channel_name` → (Q, D) embeddings of what passed a channel; of all or of none.
        lone_queries: how many have no fellow of their identity that the attack knows.
        draws: how many draws of the model were met.
    """

    found: Mapping[Fraction, AttackedQueries]
    channels: Mapping[str, Tensor]
    lone_queries: int
    draws: int

    def write(self, folder: Path, *, parts: Sequence[str]) -> None:
        """Write the artefact's files.

        Args:
            folder: of the artefact.
            parts: names of the attack's parts.
        """
        by_name = {str(budget): result for budget, result in self.found.items()}
        lowest = {name: result.features for name, result in by_name.items()}
        deepest = {name: result.deepest for name, result in by_name.items()}
        write_bytes(folder / LOWEST, save(lowest))
        if not all(torch.equal(lowest[name], deepest[name]) for name in by_name):
            write_bytes(folder / DEEPEST, save(deepest))
        write_bytes(folder / PARTS, save({name: result.part for name, result in by_name.items()}))
        for budget, result in self.found.items():
            write_bytes(folder / images_file(budget), save({"images": result.images}))
        if self.channels:
            write_bytes(folder / CHANNEL_FEATURES, save(dict(self.channels)))
        counts = {
            "lone_queries": self.lone_queries,
            "draws": self.draws,
            "found_by": [_found_by(result, parts) for result in self.found.values()],
        }
        write_json(folder / COUNTS, counts)

    @classmethod
    def read(cls, folder: Path, budgets: Sequence[Fraction]) -> "Attacked":
        """Return what `write` wrote.

        Args:
            folder: of the artefact.
            budgets: of the attack.
        """
        lowest, parts = load_file(folder / LOWEST), load_file(folder / PARTS)
        deeper, passed = folder / DEEPEST, folder / CHANNEL_FEATURES
        deepest = load_file(deeper) if deeper.is_file() else lowest
        counts = json.loads((folder / COUNTS).read_text())
        return cls(
            found={
                budget: AttackedQueries(
                    float(budget),
                    lowest[str(budget)],
                    deepest[str(budget)],
                    parts[str(budget)],
                    load_file(folder / images_file(budget))["images"],
                )
                for budget in budgets
            },
            channels=load_file(passed) if passed.is_file() else {},
            lone_queries=counts["lone_queries"],
            draws=counts["draws"],
        )

    @classmethod
    def joined(cls, ranges: Sequence["Attacked"]) -> "Attacked":
        """Return all queries of what was found for ranges of them, in their order."""
        return cls(
            found={b: joined([each.found[b] for each in ranges]) for b in ranges[0].found},
            channels={
                name: torch.cat([each.channels[name] for each in ranges])
                for name in ranges[0].channels
            },
            lone_queries=sum(each.lone_queries for each in ranges),
            draws=ranges[0].draws,
        )


def _found_by(result: AttackedQueries, parts: Sequence[str]) -> dict[str, int]:
    """Return how many queries each part of the attack found."""
    counts = torch.bincount(result.part, minlength=len(parts)).tolist()
    return dict(zip(parts, counts, strict=True))
