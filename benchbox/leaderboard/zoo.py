"""The model zoo: a ready model from a board's entry and its weights."""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

from benchbox.errors import BenchboxError
from benchbox.files.digests import digest_of_file
from benchbox.files.printable import printable
from benchbox.leaderboard.entry.files import read_entry
from benchbox.leaderboard.verifying.recompute import given_of
from benchbox.models.given_building import build_given
from benchbox.runs.registry import load_registry
from benchbox.runs.stages import parameters
from defenses import Guard


class DefendedModel(nn.Module):
    """A model behind its guard.

    Args:
        model: images in [0, 1], and camera ids where it takes them, to embeddings.
        guard: what is done to an image first; None for nothing.
    """

    def __init__(self, model: nn.Module, guard: Guard | None) -> None:
        super().__init__()
        self.model = model
        self.guard = guard

    def forward(self, images: Tensor, *ids: Tensor) -> Tensor:
        """Return the embeddings (B, D) of images (B, 3, H, W) in [0, 1]."""
        embeddings: Tensor = self.model(images if self.guard is None else self.guard(images), *ids)
        return embeddings


def load_model(
    entry: str | Path, *, weights: str | Path, plugins: Sequence[str | Path] = ()
) -> DefendedModel:
    """Return the model of a board's entry, on the CPU in evaluation mode, behind its guard.

    It is the model that was measured: the weights have to be those that the entry names. No code
    comes from the entry; a defense that is not benchbox's own needs its plugin.

    Args:
        entry: the entry's file.
        weights: the file of one of its seeds.
        plugins: files that define the defense.

    Raises:
        BenchboxError: the entry or the weights are not what they say, the defense is unknown here,
            or its guard is another one than the entry's.
    """
    path, file = Path(entry), Path(weights)
    found = read_entry(path)
    name, where = found.defense.name, printable(path)
    if not file.is_file():
        raise BenchboxError(f"{printable(file)}: no such weights file.")
    if digest_of_file(file) not in {recorded.sha256 for recorded in found.weights}:
        raise BenchboxError(
            f"{printable(file)}: its SHA-256 is none of those that {where} has; expected the "
            "weights it was measured with."
        )
    registry = load_registry([Path(plugin) for plugin in plugins])
    if name not in registry.defenses:
        raise BenchboxError(f"{where}: defense {name!r} is not known here; name its plugin.")
    defense = registry.defenses[name]
    here = parameters(defense.guard) if defense.guard else None
    if here != found.provenance.defense.get("guard"):
        raise BenchboxError(f"{where}: its guard is another one than {name} has here.")
    return DefendedModel(build_given(given_of(found, defense, file)), defense.guard).eval()
